"""Makes pictures for the tests of image functions, and applies functions eagerly and inside tf.data."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image


def eagerly(function, *arguments):
    return function(*map(tf.constant, arguments)).numpy()


def inside_tf_data(function, *arguments):
    dataset = tf.data.Dataset.from_tensors(tuple(map(tf.constant, arguments)))
    return next(dataset.map(function).as_numpy_iterator())


both = pytest.mark.parametrize("apply", [eagerly, inside_tf_data])


def picture(width, height, seed=0):
    """Returns a smooth RGB picture with some structure: enlarged noise."""
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8))
    return noise.resize((width, height), Image.Resampling.BICUBIC)


def encode(image, **arguments):
    encoded = io.BytesIO()
    image.save(encoded, **arguments)
    return encoded.getvalue()
