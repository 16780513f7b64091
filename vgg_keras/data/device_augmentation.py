"""Does, on the device and for a whole batch, the part of augmentation that needs no encoded photo.

The workers of the input pipeline cut the crops out and draw what is random. To the device go the crops as uint8, which
are a quarter of the bytes of float32, and for each of them whether it is mirrored and by how much its colours are
shifted.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from vgg_keras.data import boxes

# What a batch holds beside its images if they are still to be augmented.
MIRRORED, RGB_SHIFT = "mirrored", "rgb_shift"


def augment(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Mirrors the images of a batch and shifts their colours (arXiv:1409.1556, sect. 3.1); boxes are mirrored along.

    Args:
        batch: {"image": (B, H, W, 3) uint8, "mirrored": (B,) bool, which images are mirrored left to right,
            "rgb_shift": (B, 3) float32, what is added to all pixels of an image}, and, if there are boxes, "box": (B,
            4) float32, zeros for an image without one; what else it holds stays.

    Returns:
        The same with "image": (B, H, W, 3) float32, whose values may lie outside 0..255, and without what was to be
        done. A batch that does not ask for it, such as of validation or of cached outputs, is returned as it is.
    """
    if MIRRORED not in batch:
        return dict(batch)
    mirrored = batch[MIRRORED]
    # TensorFlow may not mirror uint8 on a GPU.
    images = tf.cast(batch["image"], tf.float32)
    images = tf.where(mirrored[:, tf.newaxis, tf.newaxis, tf.newaxis], tf.reverse(images, [2]), images)
    shown = {name: values for name, values in batch.items() if name not in (MIRRORED, RGB_SHIFT)}
    shown["image"] = images + batch[RGB_SHIFT][:, tf.newaxis, tf.newaxis, :]
    if "box" in batch:
        shown["box"] = boxes.mirror_if(mirrored, batch["box"])
    return shown
