"""Lists the verbs of the project: python -m vgg_keras."""

from vgg_keras.utils import verb_list

if __name__ == "__main__":
    verb_list.run("vgg_keras", tuple(verb_list.VERBS))
