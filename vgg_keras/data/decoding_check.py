"""Compares what training sees of a stored image with what Pillow decodes."""

import numpy as np
import tensorflow as tf

from vgg_keras.data import photo_decoding, transforms
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.utils.errors import reason

# Mean difference in levels by which two decoders of JPEG may differ, since they round colours differently.
_JPEG_TOLERANCE = 2.0


def image_problem(image_bytes: bytes) -> str:
    """Decodes an image as training does, and compares the pixels with those that Pillow decodes.

    Pillow comes first, since it refuses an image of too many pixels before memory is taken.

    Args:
        image_bytes: the encoded image.

    Returns:
        What is wrong with the image, or "".
    """
    try:
        with photo_decoding.opened(image_bytes) as image:
            expected = np.asarray(photo_decoding.to_rgb(image))
            is_jpeg = image.format in ("JPEG", "MPO")
        seen = transforms.decode(image_bytes).numpy()
    except (BadImage, tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        return f"does not decode: {reason(error)}"
    if seen.shape != expected.shape:
        return f"is decoded wrongly: {_size(seen)} pixels, and Pillow decodes {_size(expected)}"
    difference = float(np.mean(np.abs(np.subtract(seen, expected, dtype=np.int16))))
    if difference > (_JPEG_TOLERANCE if is_jpeg else 0):
        return f"is decoded wrongly: its colours differ by {difference:.3g} of 255 levels on average from Pillow's"
    return ""


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
