"""Tests operations on descriptors."""

import numpy as np

from vgg_keras.inference import descriptors


def test_a_row_of_zeros_stays_one():
    rows = descriptors.normalise(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]])
