"""Describes the last layer of a net that predicts boxes (arXiv:1409.1556, app. A.1)."""

import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.boxes import SIZE, from_center, from_crop, mirror
from vgg_keras.models.architectures import PCR, SCR


def num_outputs(kind: str, num_classes: int) -> int:
    """Returns the number of outputs: 4 (SCR), or 4 for each class (PCR)."""
    return SIZE * (num_classes if kind == PCR else 1)


def num_classes(kind: str, outputs: int) -> int | None:
    """Returns the number of classes of a net with some outputs; None if they do not tell, since all share one box.

    Args:
        kind: SCR or PCR, or "" for a net that scores classes.
        outputs: number of its outputs.
    """
    return {SCR: None, PCR: outputs // SIZE}.get(kind, outputs)


def boxes_of_classes(outputs: tf.Tensor, labels: tf.Tensor, kind: str) -> tf.Tensor:
    """Returns the box of one class for each image.

    Args:
        outputs: (B, `num_outputs`) float32.
        labels: (B,) int32, the classes.
        kind: SCR or PCR.

    Returns:
        (B, 4) float32: centre x, centre y, width and height, relative to the net's input.
    """
    if kind == SCR:
        return outputs
    return tf.gather(tf.reshape(outputs, (tf.shape(outputs)[0], -1, SIZE)), labels, batch_dims=1)


def boxes_of_center_crop(
    outputs: tf.Tensor, image_size: tf.Tensor, crop_size: int, *, mirrored: bool = False
) -> tf.Tensor:
    """Returns all boxes that were predicted from the centre crop of one image, relative to the image.

    Args:
        outputs: float32, the net's outputs for the crop, with as many elements as `num_outputs`.
        image_size: (2,) int32, height and width in pixels of the rescaled image that the crop was cut out of.
        crop_size: side of the crop in pixels.
        mirrored: whether the net was shown the crop mirrored.

    Returns:
        (n, 4) float32, (ymin, xmin, ymax, xmax): a box for each class (PCR), or one (SCR).
    """
    predicted = from_center(tf.reshape(outputs, (-1, SIZE)))
    predicted = mirror(predicted) if mirrored else predicted
    return from_crop(predicted, image_size, transforms.center_offset(image_size, crop_size), crop_size)
