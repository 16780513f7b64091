"""Tests the merging of boxes with numbers worked out by hand, and against a plain implementation."""

import itertools

import numpy as np
import pytest

from vgg_keras.inference.box_merging import merge, mismatch


def test_mismatch_worked_out_by_hand():
    box = np.array([0.0, 0.0, 10.0, 10.0])
    others = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 5.0, 10.0, 15.0], [20.0, 0.0, 30.0, 10.0], [2.0, 2.0, 8.0, 8.0]])
    # The same; half shifted: 5 / 10 + 1 - 50 / 150; apart: 20 / 10 + 1; inside: 0 + 1 - 36 / 100.
    assert mismatch(box, others) == pytest.approx([0, 0.5 + 2 / 3, 3, 0.64])


def test_two_groups():
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [50, 50, 60, 60]])
    merged, scores = merge(boxes, np.array([0.5, 0.25, 0.9]))
    # (0.5 * 0 + 0.25 * 1) / 0.75 = 1/3.
    np.testing.assert_allclose(merged, [[50, 50, 60, 60], [0, 1 / 3, 10, 10 + 1 / 3]])
    np.testing.assert_allclose(scores, [0.9, 0.75])


def test_one_box_stays():
    merged, scores = merge(np.array([[0.0, 0, 1, 1]]), np.array([0.3]))
    assert merged.tolist() == [[0, 0, 1, 1]]
    assert scores.tolist() == [0.3]


def plain_merge(boxes, scores, limit):
    """Merges as the definition says, without tables."""
    found = [(list(map(float, box)), float(score)) for box, score in zip(boxes, scores, strict=True)]
    while len(found) > 1:
        pairs = itertools.combinations(range(len(found)), 2)
        best = min(pairs, key=lambda pair: plain_mismatch(found[pair[0]][0], found[pair[1]][0]))
        (first, weight), (second, other) = found[best[0]], found[best[1]]
        if plain_mismatch(first, second) > limit:
            break
        mean = [(weight * a + other * b) / (weight + other) for a, b in zip(first, second, strict=True)]
        found = [one for index, one in enumerate(found) if index not in best] + [(mean, weight + other)]
    return sorted(found, key=lambda one: -one[1])


def plain_mismatch(a, b):
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    distance = np.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)
    mean_side = (areas[0] ** 0.5 + areas[1] ** 0.5) / 2
    return distance / mean_side + 1 - height * width / (sum(areas) - height * width)


def test_random_boxes_against_a_plain_implementation():
    generator = np.random.default_rng(0)
    for _ in range(20):
        corners = generator.uniform(0, 40, (12, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(20, 40, (12, 2))], axis=1)
        scores = generator.uniform(0.1, 1, 12)
        merged, merged_scores = merge(boxes, scores)
        expected = plain_merge(boxes, scores, 0.5)
        np.testing.assert_allclose(merged, [box for box, _ in expected], rtol=1e-9)
        np.testing.assert_allclose(merged_scores, [score for _, score in expected], rtol=1e-9)
        assert merged_scores.sum() == pytest.approx(scores.sum())
