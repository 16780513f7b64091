"""Finds out what the features of a TFDS data set are for, and reads the labels of an image from them."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_datasets as tfds

from vgg_keras.data import box_records

# Names of the feature in the data sets of data_prep and in TFDS's ImageNet, and in TFDS's "voc".
_FILE_NAMES = ("file_name", "image/filename")
# Name of the feature that holds the box of the object that a record is of.
_BOX = "box"
# TFDS's names for the features that hold several labels of an image: all of them, and those of the objects that are not
# marked as difficult.
_LABELS, _CERTAIN_LABELS = "labels", "labels_no_difficult"


@dataclasses.dataclass(frozen=True)
class RecordFeatures:
    """The names of a data set's features by what they hold.

    Attributes:
        image_key: name of the image feature.
        label_key: name of the label feature.
        name_key: name of the feature that holds the file's name, or "" if there is none.
        multi_label: whether an image may have any number of labels.
        certain_key: name of the feature that holds the labels of objects that are not marked as difficult, or "" if
            there is none.
        objects_key: name of the feature that holds the objects with their boxes, or "" if there is none.
        box_key: name of the feature that holds the box of the one object that the record is of, such as a person whose
            actions are its labels, or "" if a record is of the image as a whole.
    """

    image_key: str
    label_key: str
    name_key: str = ""
    multi_label: bool = False
    certain_key: str = ""
    objects_key: str = ""
    box_key: str = ""


def find_class_names(feature: tfds.features.FeatureConnector) -> list[str]:
    """Returns the class names of a class label or of a sequence of them; none for other features."""
    if isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    return feature.names if isinstance(feature, tfds.features.ClassLabel) else []


def find_features(features: tfds.features.FeaturesDict, *, multi_label: bool) -> RecordFeatures:
    """Returns which features hold an image and its labels.

    Args:
        features: the features of the data set.
        multi_label: whether several labels for an image are accepted.

    Raises:
        ValueError: there is not exactly one image and one label feature.
    """
    known = dict(features.items())  # TFDS's dictionary of features has no `get`
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    several = not labels and multi_label
    if several:
        labels = [key for key, feature in features.items() if find_class_names(feature)]
        labels = [_LABELS] if _LABELS in labels else labels
    if len(images) != 1 or len(labels) != 1:
        if len(images) == 1 and not labels and _LABELS in features:
            raise ValueError(
                "its photos may show several classes, and here each must show one: take those with several out, and "
                "prepare the data set again; vgg_keras.features takes several"
            )
        kinds = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in features.items())
        raise ValueError(f"needs one image and one class label a record, has {kinds}")
    has_certain = several and labels == [_LABELS] and _CERTAIN_LABELS in features
    return RecordFeatures(
        images[0],
        labels[0],
        next((name for name in _FILE_NAMES if isinstance(known.get(name), tfds.features.Text)), ""),
        several,
        _CERTAIN_LABELS if has_certain else "",
        box_records.find_objects(features),
        _BOX if isinstance(known.get(_BOX), tfds.features.BBoxFeature) else "",
    )


def checked_labels(labels: tf.Tensor, smallest: int, count: int) -> tf.Tensor:
    """Returns labels as int32.

    Args:
        labels: integers of any shape.
        smallest: the lowest label that is allowed, 0 or -1.
        count: number of classes.

    Raises:
        tf.errors.InvalidArgumentError: a label is lower, or none of the classes.
    """
    known = tf.reduce_all((labels >= smallest) & (labels < count))
    message = f"an image has a label that is not one of the {count} classes"
    with tf.control_dependencies([tf.debugging.Assert(known, [message, labels])]):
        return tf.cast(labels, tf.int32)


def label_vector(example: Mapping[str, tf.Tensor], label_key: str, certain_key: str, count: int) -> tf.Tensor:
    """Returns the labels of an image that may have several.

    Args:
        example: the features of the image.
        label_key: name of the feature of all labels.
        certain_key: name of the feature of those that an object not marked as difficult gives, or "".
        count: number of classes.

    Returns:
        (classes,) int32, 1 for each label of the image, -1 for those that only difficult objects give it, else 0.

    Raises:
        tf.errors.InvalidArgumentError: a label is none of the classes.
    """

    def given(key: str) -> tf.Tensor:
        labels = checked_labels(example[key], 0, count)
        return tf.reduce_any(labels[:, tf.newaxis] == tf.range(count), axis=0)  # over (labels, classes)

    everything = given(label_key)
    certain = given(certain_key) if certain_key else everything
    return tf.where(certain, 1, tf.where(everything, -1, 0))
