"""Lists the verbs that write and check data sets: python -m data_prep."""

from vgg_keras.utils import verb_list

if __name__ == "__main__":
    verb_list.run("data_prep", ("data_prep",))
