"""Moves the boxes of objects with the image that they are on: rescaling, crops, mirroring (arXiv:1409.1556, app. A).

A box is (ymin, xmin, ymax, xmax), float32, relative to the height and width of its image: the whole image is (0, 0, 1,
1), and (0, 0) the upper left corner. A box relative to a crop may reach past it: it is that of the whole object, not of
the part that the crop shows. The paper does not say which of the two its net learns, but only the first can explain
its errors: a crop of 224x224 pixels shows a third of a square photo at S = 384, so that no part of it that the crop
shows has an intersection over union above 0.5 with an object that fills the photo.
"""

import tensorflow as tf

# Number of values that describe a box.
SIZE = 4


def _doubled(pair: tf.Tensor) -> tf.Tensor:
    """Returns pairs along the two axes, (..., 2), for both corners of a box: (..., 4) float32."""
    return tf.cast(tf.concat([pair, pair], axis=-1), tf.float32)


def to_crop(boxes: tf.Tensor, image_size: tf.Tensor, offset: tf.Tensor, crop_size: int | tf.Tensor) -> tf.Tensor:
    """Moves boxes from a rescaled image to a crop of it. Isotropic rescaling alone moves no relative box.

    Args:
        boxes: (n, 4) float32, relative to the image.
        image_size: (2,) int32, height and width of the rescaled image in pixels.
        offset: (2,) int32, (top, left) of the crop in the rescaled image in pixels.
        crop_size: side of the crop in pixels, or (2,) int32, its height and width.

    Returns:
        (n, 4) float32, relative to the crop.
    """
    size, offset, crop = map(_doubled, (image_size, offset, tf.broadcast_to(crop_size, [2])))
    return (boxes * size - offset) / crop


def from_crop(boxes: tf.Tensor, image_size: tf.Tensor, offset: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Moves boxes from crops to the rescaled image that they were cut out of; the inverse of `to_crop`.

    Args:
        boxes: (..., 4) float32, relative to the crops.
        image_size: (2,) int32, height and width of the rescaled image in pixels.
        offset: (..., 2) int32, (top, left) of the crop of each box in pixels, or (2,) of all.
        crop_size: side of the crops in pixels.

    Returns:
        (..., 4) float32, relative to the image.
    """
    size, offset = map(_doubled, (image_size, offset))
    return (boxes * float(crop_size) + offset) / size


def mirror(boxes: tf.Tensor) -> tf.Tensor:
    """Moves boxes, (..., 4), to the image that is mirrored left to right."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, num=SIZE, axis=-1)
    return tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=-1)


def mirror_if(mirrored: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Moves boxes to their mirrored images; zeros, which mean that there is none, stay.

    Args:
        mirrored: (...) bool, which images are mirrored.
        box: (..., 4) float32, a box of each image.
    """
    return tf.where(tf.logical_and(mirrored, area(box) > 0)[..., tf.newaxis], mirror(box), box)


def to_center(boxes: tf.Tensor) -> tf.Tensor:
    """Returns boxes, (..., 4), as the net predicts them: (centre x, centre y, width, height), relative as they were."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, num=SIZE, axis=-1)
    return tf.stack([(xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin], axis=-1)


def from_center(centers: tf.Tensor) -> tf.Tensor:
    """Returns predicted boxes, (..., 4) of (centre x, centre y, width, height), as (ymin, xmin, ymax, xmax)."""
    x, y, width, height = tf.unstack(centers, num=SIZE, axis=-1)
    return tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=-1)


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the areas of boxes, (..., 4) -> (...); 0 if a side is negative."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, num=SIZE, axis=-1)
    return tf.maximum(ymax - ymin, 0.0) * tf.maximum(xmax - xmin, 0.0)


def intersection(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Returns the areas that boxes have in common with others, (..., 4) each, broadcast -> (...)."""
    upper_left = tf.maximum(boxes[..., :2], others[..., :2])
    lower_right = tf.minimum(boxes[..., 2:], others[..., 2:])
    return area(tf.concat([upper_left, lower_right], axis=-1))


def intersection_over_union(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Returns the intersection over union (IoU) of boxes with others, (..., 4) each, broadcast -> (...), 0..1."""
    common = intersection(boxes, others)
    union = area(boxes) + area(others) - common
    return tf.math.divide_no_nan(common, union)


def most_visible(boxes: tf.Tensor) -> tf.Tensor:
    """Chooses the box of which a crop shows the largest area, relative to the crop's own.

    A net of `SCR` or `PCR` predicts one box of a class, and an image may show several objects of it.

    Args:
        boxes: (n, 4) float32, relative to the crop.

    Returns:
        (4,) float32; of boxes that are equally visible the first one, and zeros if there is no box.
    """
    visible = intersection(boxes, tf.constant([0.0, 0.0, 1.0, 1.0]))
    padded = tf.concat([boxes, tf.zeros((1, SIZE))], axis=0)
    return padded[tf.argmax(tf.concat([visible, [-1.0]], axis=0))]
