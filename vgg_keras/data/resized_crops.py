"""Cuts windows of random area and shape out of images and resizes them, as torchvision's RandomResizedCrop does.

Sizes are (height, width) in pixels, images (H, W, 3) RGB, seeds (2,) integers. Every function takes its randomness from
a seed. Resizing is bilinear with a low-pass filter if the image shrinks, as torchvision resizes Pillow images, and
since version 0.17 tensors too.
"""

import math

import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.resampling import resample

# torchvision's defaults: the window's share of the image's area, and its width / height.
_AREAS = (0.08, 1.0)
_RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
# Pixels around a window that the JPEG decoder's chroma filter needs.
_MARGIN = 8


def draw_window(size: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws a window of an image: 8 to 100% of its area, and width / height from 3/4 to 4/3, uniform in its logarithm.

    Args:
        size: (2,) int32, size of the image.
        seed: (2,) integers.

    Returns:
        (2,) int32, (top, left), uniform among all positions, and (2,) int32, (height, width). If none of ten windows
        lies inside the image, it is the largest central one of the allowed shapes.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)
    areas = tf.random.stateless_uniform((_TRIES,), seeds[0], *_AREAS, dtype=tf.float64)
    log_ratios = tf.random.stateless_uniform((_TRIES,), seeds[1], *map(math.log, _RATIOS), dtype=tf.float64)
    window, found = first_window(size, areas, tf.exp(log_ratios))
    room = size - window
    return tf.where(found, transforms.random_offset(room, 0, seeds[2]), room // 2), window


def first_window(size: tf.Tensor, areas: tf.Tensor, ratios: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the size of the first window that fits into an image, else of the largest one of the allowed shapes.

    Args:
        size: (2,) int32, size of the image.
        areas: (n,) float64, areas of the windows, as shares of the image's.
        ratios: (n,) float64, their width / height.

    Returns:
        (2,) int32, (height, width), and () bool, whether one of the windows fits.
    """
    height, width = tf.unstack(tf.cast(size, tf.float64), num=2)
    targets = areas * height * width
    windows = tf.round(tf.sqrt(tf.stack([targets / ratios, targets * ratios], axis=1)))  # (n, 2)
    fits = tf.reduce_all((windows > 0) & (windows <= tf.stack([height, width])), axis=1)
    found = tf.reduce_any(fits)
    # Each side is that of the image, or what the most extreme ratio leaves of it.
    largest = tf.stack([tf.minimum(height, width / _RATIOS[0]), tf.minimum(width, height * _RATIOS[1])])
    window = tf.where(found, windows[tf.argmax(tf.cast(fits, tf.int32))], tf.round(largest))
    return tf.cast(window, tf.int32), found


def decode_resized(
    image_bytes: tf.Tensor, size: tf.Tensor, offset: tf.Tensor, window: tf.Tensor, side: int
) -> tf.Tensor:
    """Cuts a window out of an encoded image, of a JPEG decoding little more than that, and resizes it to a square.

    Args:
        image_bytes: () string, the encoded image.
        size: (2,) int32, size of the encoded image (`transforms.encoded_size`).
        offset: (2,) int32, (top, left) of the window.
        window: (2,) int32, (height, width) of the window.
        side: side of the result in pixels.

    Returns:
        (side, side, 3) float32, 0..255. No pixel outside the window plays a part.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not an image that `transforms.decode` takes.
    """
    begin = tf.maximum(offset - _MARGIN, 0)
    end = tf.minimum(offset + window + _MARGIN, size)
    pixels = tf.slice(
        transforms.decode_window(image_bytes, begin, end),
        tf.concat([offset - begin, [0]], axis=0),
        tf.concat([window, [3]], axis=0),
    )
    return squash(pixels, side)


def squash(image: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes an image to a square whatever its shape: (H, W, 3) uint8 or float -> (side, side, 3) float32, 0..255."""
    scale = float(side) / tf.cast(tf.shape(image)[:2], tf.float32)
    return resample(image, (side, side), scale, (0.0, 0.0))
