"""Computes the interval of an error that was measured on so many images; needs no TensorFlow."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

# Quantile of the normal distribution for an interval of 95%.
QUANTILE = NormalDist().inv_cdf(0.975)


def wilson(mistakes: int, num_images: int) -> tuple[float, float]:
    """Returns the bounds of the 95% interval of an error in percent: Wilson's (J. Am. Stat. Assoc. 22, 1927).

    Unlike the error plus or minus two standard deviations, it holds for few mistakes too, and for none.

    >>> [round(bound, 2) for bound in wilson(0, 100)]
    [0.0, 3.7]

    Args:
        mistakes: number of images that were classified wrongly.
        num_images: number of images, at least 1.
    """
    rate, square = mistakes / num_images, QUANTILE**2 / num_images
    middle = rate + square / 2
    half = math.sqrt(square * (rate * (1 - rate) + square / 4))
    return 100 * max(0.0, (middle - half) / (1 + square)), 100 * min(1.0, (middle + half) / (1 + square))


def text(result: Mapping[str, Any]) -> str:
    """Returns the 95% interval of a result's top-1 error, such as "[5.81; 11.45]".

    Args:
        result: a result as `evaluation.json` holds it.
    """
    low, high = wilson(round(result["top1_error"] * result["num_images"] / 100), result["num_images"])
    return f"[{low:.2f}; {high:.2f}]"
