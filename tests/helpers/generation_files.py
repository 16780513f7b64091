"""Writes a small model with the installed Keras: keras_2.keras or keras_3.keras beside this file.

python -m tests.helpers.generation_files    # writes the file of the Keras it runs with

keras_3.keras was written by the oldest Keras 3 that the package supports: it does not always read files of a newer one.
"""

from pathlib import Path

import keras
import numpy as np

from vgg_keras.models import saving
from vgg_keras.models.vgg import build
from vgg_keras.utils.keras_compat import KERAS_3

FOLDER = Path(__file__).parent
FILES = [FOLDER / "keras_2.keras", FOLDER / "keras_3.keras"]
OWN = FILES[KERAS_3]


def weights(model, vectors=1.0):
    """Returns random weights for a model, the same in every version; those of one dimension lie around `vectors`."""
    rng = np.random.default_rng(0)

    def drawn(shape):
        if len(shape) == 1:
            return vectors * rng.uniform(0.5, 1.5, shape)
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)

    kernel, *others = [drawn(value.shape).astype(np.float32) for value in model.get_weights()]
    return [kernel / 128, *others]  # the input of the first layer is 0..255


def small_model():
    """Returns a small net with every kind of layer that `vgg.build` uses."""
    model = build("A-LRN", 5, input_size=32, width_multiplier=1 / 32, batch_norm=True)
    model.set_weights(weights(model, vectors=0.3))
    return model


def images():
    return np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


if __name__ == "__main__":
    made = small_model()
    saving.save_model(made, OWN)
    print(keras.__version__, np.array2string(made(images()).numpy(), separator=", ", precision=7))
