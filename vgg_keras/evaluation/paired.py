"""Compares the errors of two results on the same images: the paired difference, its interval and McNemar's test.

Two nets make most of their mistakes on the same images, so their errors differ by far less than the interval of either
error alone would suggest. Needs no TensorFlow.
"""

import dataclasses
import math

import numpy as np

from vgg_keras.evaluation.error_interval import QUANTILE


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The difference of two error rates on the same images, the second minus the first, in percentage points.

    Attributes:
        first_alone: number of images on which the first alone is wrong.
        second_alone: number of images on which the second alone is wrong.
        num_images: number of images.
    """

    first_alone: int
    second_alone: int
    num_images: int

    @property
    def points(self) -> float:
        """The difference in percentage points; negative if the second makes fewer mistakes."""
        return 100 * (self.second_alone - self.first_alone) / self.num_images

    def interval(self) -> tuple[float, float]:
        """Returns the bounds of the difference's 95% interval in percentage points.

        It is the interval of Agresti and Min (Statistics in Medicine 24, 2005): Wald's, after half an image is added
        to each of the four cells, so that it keeps its coverage where few images tell the two apart.
        """
        count = self.num_images + 2
        first, second = self.first_alone + 0.5, self.second_alone + 0.5
        mean = (second - first) / count
        deviation = math.sqrt(first + second - (second - first) ** 2 / count) / count
        low, high = mean - QUANTILE * deviation, mean + QUANTILE * deviation
        return 100 * max(low, -1.0), 100 * min(high, 1.0)

    def p_value(self) -> float:
        """Returns the two-sided p-value of McNemar's exact test: the binomial test of the images that tell apart."""
        discordant, fewer = self.first_alone + self.second_alone, min(self.first_alone, self.second_alone)
        ways = term = 1
        for chosen in range(fewer):
            term = term * (discordant - chosen) // (chosen + 1)
            ways += term
        return float(min(1, 2 * ways / 2**discordant)) if discordant else 1.0

    def text(self) -> str:
        """Returns difference, interval and p-value as text for people: "-1.20 [-1.75; -0.65], p < 0.001"."""
        low, high = self.interval()
        p_value = self.p_value()
        chance = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
        return f"{self.points:+.2f} [{low:+.2f}; {high:+.2f}], {chance}"


def paired_difference(first_wrong: np.ndarray, second_wrong: np.ndarray) -> PairedDifference:
    """Compares two results.

    Args:
        first_wrong: (N,) bool, whether the first result is wrong on each image.
        second_wrong: (N,) bool, the same of the second result on the same images.

    Raises:
        ValueError: the two are not of the same number of images, or of none.
    """
    if first_wrong.shape != second_wrong.shape or first_wrong.ndim != 1 or not first_wrong.size:
        raise ValueError(f"cannot pair {first_wrong.shape} with {second_wrong.shape} images")
    return PairedDifference(
        first_alone=int(np.sum(first_wrong & ~second_wrong)),
        second_alone=int(np.sum(second_wrong & ~first_wrong)),
        num_images=first_wrong.size,
    )
