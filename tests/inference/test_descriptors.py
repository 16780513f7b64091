"""Tests operations on descriptors."""

import numpy as np

from vgg_keras.inference import descriptors


def test_a_row_of_zeros_stays_one():
    rows = descriptors.normalise(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]])


def test_layers_weigh_the_same_and_large_values_less():
    # Of two layers, (3, 4) and (0, 16): each of length 1, and both together.
    rows = descriptors.scale_layers(np.array([[3.0, 4.0, 0.0, 16.0]]), [2, 2])
    np.testing.assert_allclose(rows, np.array([[0.6, 0.8, 0.0, 1.0]]) / np.sqrt(2), rtol=1e-6)
    # The roots of (9, -16) are (3, -4).
    rows = descriptors.scale_layers(np.array([[9.0, -16.0]]), [2], "sqrt")
    np.testing.assert_allclose(rows, [[0.6, -0.8]], rtol=1e-6)
