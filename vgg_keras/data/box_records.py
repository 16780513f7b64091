"""Finds, reads and checks the boxes of objects in records of the layout of TFDS's own "voc"."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

_OBJECTS = "objects"
# Names inside the feature of the objects; the last one may be missing.
_BOX, _LABEL, _DIFFICULT = "bbox", "label", "is_difficult"


def find_objects(features: Mapping[str, tfds.features.FeatureConnector]) -> str:
    """Returns the name of the feature that holds a sequence of objects, each with a box and a label, or ""."""
    feature = dict(features.items()).get(_OBJECTS)  # TFDS's dictionary of features has no `get`
    inside = feature.feature if isinstance(feature, tfds.features.Sequence) else None
    if not isinstance(inside, tfds.features.FeaturesDict) or not {_BOX, _LABEL} <= inside.keys():
        return ""
    fits = isinstance(inside[_BOX], tfds.features.BBoxFeature) and isinstance(inside[_LABEL], tfds.features.ClassLabel)
    return _OBJECTS if fits else ""


def own_boxes(objects: Mapping[str, tf.Tensor], label: tf.Tensor | None) -> dict[str, tf.Tensor]:
    """Returns the boxes and the labels of the objects that count.

    Args:
        objects: the objects of an image as TFDS reads them: "bbox" (N, 4) float32, "label" (N,) int64 and, if there is
            one, "is_difficult" (N,) bool.
        label: () int32, the only label that counts; None counts all.

    Returns:
        {"boxes": (n, 4) float32, ymin, xmin, ymax and xmax relative to the image, "box_labels": (n,) int32}, without
        objects that are marked as difficult.
    """
    labels = tf.cast(objects[_LABEL], tf.int32)
    counts = tf.ones_like(labels, tf.bool) if label is None else labels == label
    if _DIFFICULT in objects:
        counts &= ~objects[_DIFFICULT]
    return {"boxes": tf.boolean_mask(objects[_BOX], counts), "box_labels": tf.boolean_mask(labels, counts)}


def parsed_features(key: str) -> dict[str, tf.io.VarLenFeature]:
    """Returns how a record holds the boxes and the labels of its objects, for `tf.io.parse_single_example`.

    Args:
        key: result of `find_objects`.
    """
    return {f"{key}/{_BOX}": tf.io.VarLenFeature(tf.float32), f"{key}/{_LABEL}": tf.io.VarLenFeature(tf.int64)}


def corners_problem(boxes: np.ndarray) -> str:
    """Returns what is wrong with one of some boxes, (N, 4), ymin, xmin, ymax, xmax, as the end of a message, or ""."""
    # Written so that a NaN is wrong too.
    right = (boxes[:, :2] < boxes[:, 2:]).all(1) & (boxes >= 0).all(1) & (boxes <= 1).all(1)
    if right.all():
        return ""
    ymin, xmin, ymax, xmax = boxes[np.argmin(right)]
    return (
        f"has a box with ymin={ymin:g}, xmin={xmin:g}, ymax={ymax:g}, xmax={xmax:g}, which is empty or not inside "
        "the image"
    )


def box_problem(example: Mapping[str, tf.SparseTensor], key: str, labels: Sequence[int], num_classes: int) -> str:
    """Returns what is wrong with the objects of a record, as the end of a message, or "".

    Args:
        example: a record that was parsed with `parsed_features`.
        key: result of `find_objects`.
        labels: class indices of the image, or -1.
        num_classes: number of classes.
    """
    corners = example[f"{key}/{_BOX}"].values.numpy()
    box_labels = example[f"{key}/{_LABEL}"].values.numpy().tolist()
    if len(corners) != 4 * len(box_labels):
        return f"has {len(corners) / 4:g} boxes and {len(box_labels)} labels of boxes"
    if problem := corners_problem(corners.reshape(-1, 4)):
        return problem
    if wrong := [label for label in box_labels if not 0 <= label < num_classes]:
        return f"has a box of label {wrong[0]}, of {num_classes} classes"
    if box_labels and (lost := sorted({label for label in labels if label >= 0} - set(box_labels))):
        return f"has label {lost[0]}, and no box of it among its {len(box_labels)}"
    return ""
