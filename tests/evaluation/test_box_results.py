"""Tests classes, overlaps and errors of localization with numbers worked out by hand."""

import numpy as np
import pytest

from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses, largest_overlaps
from vgg_keras.inference.protocol import TrainedNet


def test_the_likeliest_classes():
    chosen = ChosenClasses.best(np.array([[0.1, 0.4, 0.2, 0.3], [0.25, 0.25, 0.3, 0.2]], np.float32), 3)
    assert chosen.labels.tolist() == [[1, 3, 2], [2, 0, 1]]  # of equal ones the first
    np.testing.assert_allclose(chosen.posteriors, [[0.4, 0.3, 0.2], [0.3, 0.25, 0.25]])


def test_photos_whose_true_class_was_not_chosen():
    chosen = ChosenClasses(np.array([[1, 3], [2, 0], [0, 1]], np.int32), np.full((3, 2), 0.5, np.float32))
    assert chosen.missed(np.array([3, 1, 0])).tolist() == [False, True, False]
    assert not ChosenClasses.known(np.array([3, 0], np.int32)).missed(np.array([3, 0])).any()


def test_the_known_class():
    chosen = ChosenClasses.known(np.array([3, 0], np.int32))
    assert chosen.labels.tolist() == [[3], [0]]
    assert chosen.posteriors.tolist() == [[1], [1]]


def test_the_largest_overlap_with_an_object_of_the_class():
    objects = np.array([[0, 0, 1, 0.5], [0, 0.5, 0.5, 1]], np.float32)
    found = np.array([[0, 0, 1, 1], [0, 0.5, 0.5, 0.75], [0, 0.5, 0.5, 1]], np.float32)
    # The first is the whole photo, of which the first object is a half; the second half of the second object; the third
    # is of another class.
    overlaps = largest_overlaps(found, np.array([2, 2, 1]), 2, objects)
    np.testing.assert_allclose(overlaps, [0.5, 0.5, 0])


def test_errors_and_record():
    overlaps = np.array([[0.6, 0, 0], [0.5, 0, 0.7], [0, 0.5, 0], [0, 0, 0.9]], np.float32)
    result = BoxResult(
        (TrainedNet("D", "384", "block5_pool"),),
        ("pcr",),
        ((352, 384),),
        ("dense",),
        False,
        np.zeros((4, 3, 4)),
        overlaps,
        2.0,
    )
    # An overlap of exactly a half is not right.
    assert result.wrong.tolist() == [[False, True, True, True], [False, False, True, False]]
    record = result.record()
    assert (record["top1_error"], record["top5_error"], record["top1_mistakes"], record["top5_mistakes"]) == (
        75,
        25,
        3,
        1,
    )
    assert record["mean_iou"] == pytest.approx((0.6 + 0.7 + 0.5 + 0.9) / 4)
    assert (record["nets"], record["frozen_up_to"], record["test_scales"]) == (["D"], ["block5_pool"], [[352, 384]])
    assert (record["images_per_second"], record["classes_per_image"]) == (2, 3)
