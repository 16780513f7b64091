"""Lists the nets of arXiv:1409.1556, Table 1, as data; imports neither TensorFlow nor Keras."""

from collections.abc import Mapping, Sequence

from vgg_keras.utils.errors import did_you_mean

IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)

# Kernel sizes of the convolutions in each of the five blocks (Table 1). A max-pool ends each block.
NETS: Mapping[str, Sequence[Sequence[int]]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
    # Sect. 4.1 compares B with "a shallow net with five 5x5 conv. layers", one in place of each pair of 3x3 ones.
    "B-5x5": ((5,), (5,), (5,), (5,), (5,)),
}
BLOCK_WIDTHS = (64, 128, 256, 512, 512)
FC_WIDTH = 4096
# Each of the five max-pools halves the image.
TOTAL_STRIDE = 32
# The layers of a trained net A that initialize a deeper net (sect. 3.1): the first four convolutions and the FC layers.
PRE_INITIALISED = ("block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc6", "fc7", "fc8")
CLASSIFICATION, LOCALIZATION = "classification", "localization"
TASKS = (CLASSIFICATION, LOCALIZATION)
# What a net that predicts boxes gives (app. A.1): one box (single-class regression), or one for each class (per-class).
SCR, PCR = "scr", "pcr"
BOX_REGRESSIONS = (SCR, PCR)
INITIALIZERS = ("glorot", "normal", "he")

# What the nets are called elsewhere: by their number of weight layers.
_POPULAR_NAMES = {
    "vgg11": "A",
    "vgg11_lrn": "A-LRN",
    "vgg13": "B",
    "vgg16_c": "C",
    "vgg16": "D",
    "vgg19": "E",
    "vgg13_5x5": "B-5x5",
}
# Every spelling of a net's name in lower case -> key of NETS.
ALIASES = {
    **{net.lower(): net for net in NETS},
    **{net.lower().replace("-", "_"): net for net in NETS},
    **_POPULAR_NAMES,
    **{name.replace("vgg", "vgg-"): net for name, net in _POPULAR_NAMES.items()},
    **{name.replace("vgg", "vgg_"): net for name, net in _POPULAR_NAMES.items()},
}


def find_net(name: str) -> str:
    """Returns the key of `NETS` for a net's name as people write it: "D", "d", "VGG16", "vgg-16".

    Raises:
        ValueError: no net has this name.
    """
    found = ALIASES.get(name.lower())
    if not found:
        hint = did_you_mean(name, [*NETS, *_POPULAR_NAMES])
        raise ValueError(f"net must be one of {', '.join(NETS)}, received {name!r}{hint}")
    return found
