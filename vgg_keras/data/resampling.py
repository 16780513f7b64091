"""Resamples images as `tf.image.resize` with `antialias=True` does, to the same bits, in about half of the time."""

from collections.abc import Sequence

import tensorflow as tf


def resample(
    pixels: tf.Tensor, size: Sequence[int], scale: tf.Tensor, translation: tf.Tensor | Sequence[float]
) -> tf.Tensor:
    """Resizes and moves an image, and cuts it: bilinear, with a low-pass filter along an axis that shrinks.

    Args:
        pixels: (H, W, 3) uint8 or float32.
        size: (height, width) of the result in pixels.
        scale: (2,) float32, by how much the image grows along each axis.
        translation: (2,) float32, where the upper left corner of the resized image comes to lie in the result, in
            pixels.

    Returns:
        (height, width, 3) float32; a mean of pixels with weights that are not negative.
    """
    down, along = tf.unstack(tf.cast(scale, tf.float32), num=2), tf.unstack(tf.cast(translation, tf.float32), num=2)
    rows = _resample_rows(pixels, size[0], down[0], along[0])  # (height, W, 3)
    columns = _resample_rows(tf.transpose(rows, (1, 0, 2)), size[1], down[1], along[1])  # (width, height, 3)
    return tf.transpose(columns, (1, 0, 2))


def _resample_rows(pixels: tf.Tensor, height: int, scale: tf.Tensor, translation: tf.Tensor) -> tf.Tensor:
    """Resizes an image along its height alone: (H, W, 3) -> (height, W, 3) float32.

    TensorFlow's operation adds up rows as vectors, but columns pixel by pixel, which takes several times as long. So it
    is given an image of a single column, whose pixel has all the values of a row.
    """
    shape = tf.shape(pixels)
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(pixels, tf.stack([1, shape[0], 1, shape[1] * shape[2]])),
        size=(height, 1),
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([translation, 0.0]),
        kernel_type="triangle",
        antialias=True,
    )
    rows = tf.reshape(resized, tf.stack([height, shape[1], shape[2]]))
    return tf.ensure_shape(rows, (height, pixels.shape[1], pixels.shape[2]))
