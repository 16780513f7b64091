"""Small nets, and photos to show them."""

import numpy as np

from data_prep.synthetic_flowers import draw_flower
from vgg_keras.models.vgg import Initialization, build


def small(net="A", **arguments):
    """Builds a narrow net with a small input, which computes fast."""
    glorot = Initialization("glorot", seed=1)
    return build(net, 5, **{"input_size": 32, "width_multiplier": 1 / 16, "initialization": glorot, **arguments})


def flower(width, height, label=0):
    """Draws a flower: (height, width, 3) uint8."""
    return np.asarray(draw_flower(label, np.random.default_rng(label)).resize((width, height)))
