"""Tests the merging of boxes with numbers worked out by hand, and against a plain implementation."""

import numpy as np
import pytest

from tests.helpers.merging import plain_merge
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
