"""Lists the verbs of the project: python -m vgg_keras."""

from vgg_keras.utils import verb_list

if __name__ == "__main__":
    print(verb_list.listing())
