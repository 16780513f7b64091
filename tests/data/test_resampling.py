"""Compares resampling, axis by axis, with TensorFlow's own resizing of both axes, to the bit, and with Pillow's."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.images import both, picture
from vgg_keras.data.resampling import resample


@both
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (60, 80, (32, 32)),
        (20, 90, (32, 48)),
        (1, 1, (32, 40)),
        (33, 2, (5, 7)),
        (120, 90, (100, 130)),
        (1, 1, (99, 98)),
    ],
)
def test_a_whole_image_is_resized_as_by_tensorflow(apply, dtype, height, width, size):
    pixels = np.asarray(picture(width, height)).astype(dtype)
    scale = np.float32(size) / np.float32([height, width])
    received = apply(lambda image, by: resample(image, size, by, (0.0, 0.0)), pixels, scale)
    assert received.dtype == np.float32
    np.testing.assert_array_equal(received, tf.image.resize(pixels, size, antialias=True))


@both
@pytest.mark.parametrize("size", [(16, 20), (96, 97)])  # small, and axis by axis
@pytest.mark.parametrize("scale", [0.31, 0.68, 1.0, 1.7])
def test_a_part_is_the_same_as_by_the_whole_operation(apply, scale, size):
    pixels, by, moved = np.asarray(picture(90, 70)), np.float32([scale, scale]), np.float32([-3.3, -4.1])
    received = apply(lambda *arguments: resample(arguments[0], size, *arguments[1:]), pixels, by, moved)
    expected = tf.raw_ops.ScaleAndTranslate(
        images=pixels[np.newaxis], size=size, scale=by, translation=moved, kernel_type="triangle", antialias=True
    )
    np.testing.assert_array_equal(received, expected[0])


@both
@pytest.mark.parametrize("side", [24, 50, 130])
def test_the_levels_are_those_of_pillow(apply, side):
    photo = picture(100, 80)
    scale = np.float32([side / 80, side / 100])
    received = apply(lambda image, by: resample(image, (side, side), by, (0.0, 0.0)), np.asarray(photo), scale)
    expected = np.asarray(photo.resize((side, side), Image.Resampling.BILINEAR), np.float32)
    # Pillow rounds to whole levels twice, after each axis.
    np.testing.assert_allclose(received, expected, atol=1.01)
