"""Names the 1,000 classes of ILSVRC-2012 (ImageNet), without TensorFlow."""

import csv
import functools
from collections import Counter
from importlib import resources

# WordNet has the same word for both, and no other.
_SAME_WORDS = {"n02012849": "crane (bird)", "n03126707": "crane (machine)"}


@functools.cache
def _synsets() -> tuple[tuple[str, str], ...]:
    text = resources.files("vgg_keras.data").joinpath("imagenet_synsets.tsv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return tuple((synset, words) for synset, words in csv.reader(lines, delimiter="\t"))


def synsets() -> list[tuple[str, str]]:
    """Returns the 1,000 pairs (synset, words) in the order of the class indices, which is that of the synset numbers.

    It is also the order of the outputs of the nets that keras.applications and torchvision publish. The words are
    WordNet's, separated by commas.
    """
    return list(_synsets())


def label_names() -> list[str]:
    """Returns 1,000 readable names, all different even in lower case, in the order of the class indices.

    A name is the first of the synset's words. Where another class has the same first word, such as "maillot", it is all
    of them.
    """
    first = [words.partition(", ")[0] for _, words in _synsets()]
    counts = Counter(word.lower() for word in first)
    return [
        _SAME_WORDS.get(synset) or (short if counts[short.lower()] == 1 else words)
        for (synset, words), short in zip(_synsets(), first, strict=True)
    ]
