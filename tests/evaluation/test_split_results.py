"""Tests linear SVMs on random splits, on points that planes divide and on figures worked out by hand."""

import numpy as np
import pytest

from vgg_keras.evaluation import split_results
from vgg_keras.evaluation.linear_svm import LinearResult
from vgg_keras.evaluation.random_splits import RandomSplit
from vgg_keras.evaluation.split_results import SplitResults


def test_mean_and_deviation():
    results = SplitResults([LinearResult(1.0, 90, 10, recall, 100 - recall) for recall in (90.0, 91.0, 94.0)])
    assert results.mean_class_recall == pytest.approx(275 / 3)
    # The distances from the mean are 5/3, 2/3 and 7/3; their squares have the sum 78/9, divided by 3 - 1.
    assert results.mean_class_recall_std == pytest.approx((78 / 18) ** 0.5)
    assert results.top1_error == pytest.approx(100 - 275 / 3)
    text = results.shown().text()
    assert "91.67 ± 2.08" in text
    record = results.record()
    assert [split["mean_class_recall"] for split in record["splits"]] == [90, 91, 94]
    assert (record["num_training_images"], record["num_images"]) == (90, 10)


def test_one_split_has_no_deviation():
    results = SplitResults([LinearResult(1.0, 90, 10, 90.0, 10.0)])
    assert results.record()["mean_class_recall_std"] is None
    assert "±" not in results.shown().text()


@pytest.mark.parametrize("width", [3, 40])  # fewer dimensions than training images, and more
def test_mean_class_recall_of_classes_of_unequal_size(width):
    rng = np.random.default_rng(0)
    corners = np.eye(3, width) * 4
    of = lambda label, count: corners[label] + rng.normal(0, 0.1, (count, width))  # noqa: E731
    points = np.concatenate([of(0, 10), of(1, 10), of(2, 10)])
    # Test points: four of class 0, all at its corner; eight of class 1, two at the corner of class 0; and two of class
    # 2, one at the corner of class 1.
    places = [(0, 4), (1, 6), (0, 2), (2, 1), (1, 1)]
    points = np.concatenate([points, *(of(corner, count) for corner, count in places)]).astype(np.float32)
    labels = np.repeat([0, 1, 2, 0, 1, 2], [10, 10, 10, 4, 8, 2])
    held_out = np.array([0, 1, 10, 11, 20, 21])
    split = RandomSplit(np.setdiff1d(np.arange(30), held_out), held_out, np.arange(30, 44))
    results = split_results.fit_and_test_splits(points, labels, [split, split], seed=0)
    result = results.splits[0]
    assert result.mean_class_recall == pytest.approx(100 * (1 + 6 / 8 + 1 / 2) / 3)
    assert result.top1_error == pytest.approx(100 * 3 / 14)
    assert (result.num_training_images, result.num_images) == (30, 14)
    assert (result.c, result.cross_validation_error) == (2**-4, 0)  # the smallest of those without an error
    assert results.mean_class_recall_std == 0


def test_c_is_that_of_the_held_out_images_and_the_last_fit_is_to_all():
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(3)
    labels = np.arange(120) % 3
    points = (rng.normal(0, 1, (3, 60))[labels] * 0.25 + rng.normal(0, 1, (120, 60))).astype(np.float32)
    split = RandomSplit(np.arange(24, 60), np.arange(24), np.arange(60, 120))
    (result,) = split_results.fit_and_test_splits(points, labels, [split], seed=0).splits
    right = {}
    for c in (1 / 16, 1 / 4, 1.0, 4.0, 16.0, 64.0, 256.0):
        svm = LinearSVC(C=c, max_iter=100_000).fit(points[24:60], labels[24:60])
        right[c] = int((svm.predict(points[:24]) == labels[:24]).sum())
    best = min(c for c in right if right[c] == max(right.values()))
    assert len(set(right.values())) > 1
    predicted = LinearSVC(C=best, max_iter=100_000).fit(points[:60], labels[:60]).predict(points[60:])
    recalls = [np.mean(predicted[labels[60:] == label] == label) for label in range(3)]
    assert result.c == best
    assert result.cross_validation_error == pytest.approx(100 * (1 - right[best] / 24))
    assert result.mean_class_recall == pytest.approx(100 * np.mean(recalls))


def test_rotated_descriptors_have_the_same_products():
    rng = np.random.default_rng(0)
    train, test = rng.normal(0, 1, (5, 9)), rng.normal(0, 1, (4, 9))
    narrow_train, narrow_test = split_results._in_the_span(train, test)
    assert narrow_train.shape == (5, 5)
    assert narrow_test.shape == (4, 5)
    np.testing.assert_allclose(narrow_train @ narrow_train.T, train @ train.T, atol=1e-12)
    np.testing.assert_allclose(narrow_test @ narrow_train.T, test @ train.T, atol=1e-12)
