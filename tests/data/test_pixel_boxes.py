"""Tests the change from relative boxes to pixels with numbers worked out by hand."""

import numpy as np
import pytest

from vgg_keras.data.pixel_boxes import to_pixels


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((0, 0, 1, 1), (0, 0, 30, 50)),
        ((0.5, 0.2, 0.75, 0.9), (15, 10, 23, 45)),  # 0.75 * 30 = 22.5
        ((-0.4, -3.0, 1.2, 0.5), (0, 0, 30, 25)),
        ((1.5, 0.2, 1.7, 0.4), (29, 10, 30, 20)),  # below the photo: its last row
        ((0.6, 0.1, 0.4, 0.3), (15, 5, 16, 15)),  # its end is before its begin
        ((0.1, 0.31, 0.2, 0.312), (3, 16, 6, 17)),  # columns 15.5 to 15.6
        ((-2, -2, -1, -1), (0, 0, 1, 1)),
    ],
)
def test_to_pixels(box, pixels):
    found = to_pixels(np.array(box), height=30, width=50)
    assert found == pixels
    assert all(type(side) is int for side in found)
