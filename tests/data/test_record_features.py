"""Tests the labels and the boxes of an image, worked out by hand, eagerly and inside tf.data."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.voc_records import ALL, LEFT, RIGHT
from vgg_keras.data.box_records import own_boxes
from vgg_keras.data.record_features import checked_labels, label_vector


def eagerly(function, example):
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), function(example))


def in_tf_data(function, example):
    return next(tf.data.Dataset.from_tensors(example).map(function).as_numpy_iterator())


both = pytest.mark.parametrize("run", [eagerly, in_tf_data])


@both
def test_a_label_of_difficult_objects_alone_is_minus_one(run):
    example = {"labels": tf.constant([0, 2, 3], tf.int64), "certain": tf.constant([2], tf.int64)}
    assert run(lambda e: label_vector(e, "labels", "certain", 5), example).tolist() == [-1, 0, 1, -1, 0]
    assert run(lambda e: label_vector(e, "labels", "", 5), example).tolist() == [1, 0, 1, 1, 0]
    empty = {"labels": tf.zeros([0], tf.int64), "certain": tf.zeros([0], tf.int64)}
    assert run(lambda e: label_vector(e, "labels", "certain", 2), empty).tolist() == [0, 0]


@both
def test_labels_that_are_none(run):
    assert run(lambda e: checked_labels(e, -1, 3), tf.constant(-1, tf.int64)) == -1
    for label, smallest in ((-1, 0), (3, 0), (-2, -1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="not one of the 3 classes"):
            run(lambda e, smallest=smallest: checked_labels(e, smallest, 3), tf.constant(label, tf.int64))


@both
def test_boxes_that_count(run):
    objects = {
        "bbox": tf.constant([LEFT, RIGHT, ALL]),
        "label": tf.constant([1, 0, 1], tf.int64),
        "is_difficult": tf.constant([False, False, True]),
    }
    found = run(lambda e: own_boxes(e, tf.constant(1)), objects)
    np.testing.assert_array_equal(found["boxes"], [LEFT])
    assert found["box_labels"].tolist() == [1]
    everything = run(lambda e: own_boxes(e, None), objects)
    np.testing.assert_array_equal(everything["boxes"], [LEFT, RIGHT])
    assert everything["box_labels"].tolist() == [1, 0]
    # Other data sets mark no object as difficult.
    del objects["is_difficult"]
    assert run(lambda e: own_boxes(e, tf.constant(1)), objects)["box_labels"].tolist() == [1, 1]
    assert run(lambda e: own_boxes(e, tf.constant(2)), objects)["boxes"].shape == (0, 4)
