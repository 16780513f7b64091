"""Tests the average precision of PASCAL VOC on rankings worked out by hand, and against the kit's own loops."""

import numpy as np
import pytest

from vgg_keras.utils.average_precision import average_precision, average_precisions, mean_average_precision


def by_the_kit(scores, relevant, year):
    """Computes the average precision as the development kit does, element by element."""
    ranked = [pair for pair in zip(scores, relevant, strict=True) if pair[1] != -1]
    ranked.sort(key=lambda pair: -pair[0])  # stable
    total = sum(label == 1 for _, label in ranked)
    recalls, precisions, found = [], [], 0
    for rank, (_, label) in enumerate(ranked, start=1):
        found += label == 1
        recalls.append(found / total)
        precisions.append(found / rank)
    if year < 2010:
        result = 0.0
        for tenth in range(11):
            beyond = [p for r, p in zip(recalls, precisions, strict=True) if r >= tenth / 10]
            result += max(beyond, default=0) / 11
        return result
    recalls, precisions = [0.0, *recalls, 1.0], [0.0, *precisions, 0.0]
    for index in range(len(precisions) - 2, -1, -1):
        precisions[index] = max(precisions[index], precisions[index + 1])
    steps = [index for index in range(1, len(recalls)) if recalls[index] != recalls[index - 1]]
    return sum((recalls[index] - recalls[index - 1]) * precisions[index] for index in steps)


@pytest.mark.parametrize(
    ("relevant", "eleven_points", "area"),
    [
        ([1, 1, 0, 0], 1.0, 1.0),
        ([0, 0, 0, 1], 1 / 4, 1 / 4),
        # Precisions 1 and 2/3 at the recalls 1/2 and 1: the points 0 to 0.5, and 0.6 to 1.
        ([1, 0, 1], (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        # Precisions 1/2 and 2/3: the envelope is 2/3 everywhere.
        ([0, 1, 1], 2 / 3, 2 / 3),
        # Precisions 1, 2/4 and 3/5 at thirds: the second one is raised to 3/5. Points 0 to 0.3 have 1, the others 3/5.
        ([1, 0, 0, 1, 1], (4 + 7 * 3 / 5) / 11, (1 + 2 * 3 / 5) / 3),
        # A difficult image is not there at all.
        ([-1, 1, -1, 0, 1, -1], (6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
    ],
)
def test_rankings_worked_out_by_hand(relevant, eleven_points, area):
    scores = np.linspace(1, 0, len(relevant))
    assert average_precision(scores, np.array(relevant), 2007) == pytest.approx(eleven_points)
    for year in (2010, 2012):
        assert average_precision(scores, np.array(relevant), year) == pytest.approx(area)


@pytest.mark.parametrize("year", [2007, 2012])
def test_against_the_loops_of_the_kit(year):
    rng = np.random.default_rng(0)
    for count in (1, 2, 10, 40, 200):
        for _ in range(20):
            scores = rng.integers(0, 12, count).astype(np.float32)  # with many ties
            relevant = rng.integers(-1, 2, count)
            relevant[rng.integers(count)] = 1
            expected = by_the_kit(scores.tolist(), relevant.tolist(), year)
            assert average_precision(scores, relevant, year) == pytest.approx(expected, abs=1e-12)


def test_every_tenth_of_the_recall_is_reached_by_whole_numbers_of_images():
    # Ten positive images with a negative one after each: at the recall k/10 the precision is k / (2k - 1).
    relevant = np.array([1, 0] * 10)
    expected = (1 + sum(k / (2 * k - 1) for k in range(1, 11))) / 11
    assert average_precision(np.arange(20.0, 0, -1), relevant, 2007) == pytest.approx(expected)


def test_images_of_the_same_score_keep_their_order():
    assert average_precision(np.zeros(3), np.array([1, 0, 0])) == 1
    assert average_precision(np.zeros(3), np.array([0, 0, 1])) == pytest.approx(1 / 3)
    assert average_precision(np.array([1, 2, 250], np.uint8), np.array([0, 0, 1])) == 1


def test_the_mean_is_over_the_classes_with_positive_images():
    relevant = np.array([[1, 0, 0], [0, 1, 0], [1, -1, -1]])
    scores = np.array([[3, 3, 3], [2, 2, 2], [1, 1, 1.0]])
    assert mean_average_precision(scores, relevant, 2012) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    for compute in (mean_average_precision, lambda *arrays: average_precision(*(array[:, 2] for array in arrays))):
        with pytest.raises(ValueError, match="at least one positive image"):
            compute(scores, np.where(relevant == 1, 0, relevant))


def test_the_precision_of_each_class():
    scores = np.array([[3.0, 1.0, 1.0], [2.0, 2.0, 2.0], [1.0, 3.0, 3.0]])
    # The second class: a hit at the last rank; the third one: only a difficult image.
    relevant = np.array([[1, 1, 0], [0, 0, -1], [0, 0, 0]])
    assert average_precisions(scores, relevant) == [1.0, pytest.approx(1 / 3), None]
    assert mean_average_precision(scores, relevant) == pytest.approx(2 / 3)
