"""Compares the interval of an error with published and hand-worked values."""

import pytest

from vgg_keras.evaluation import error_interval


@pytest.mark.parametrize(
    ("mistakes", "num_images", "low", "high"),
    [
        (0, 20, 0.0, 100 * 3.8415 / (20 + 3.8415)),  # z^2 / (n + z^2)
        (20, 20, 100 * 20 / (20 + 3.8415), 100.0),
        (81, 263, 25.53, 36.62),  # Newcombe, Statistics in Medicine 17 (1998), table I
        (15, 148, 6.24, 16.05),  # the same
    ],
)
def test_wilsons_interval(mistakes, num_images, low, high):
    assert error_interval.wilson(mistakes, num_images) == pytest.approx((low, high), abs=0.006)


def test_its_text():
    assert error_interval.text({"top1_error": 100 * 15 / 148, "num_images": 148}) == "[6.24; 16.05]"
