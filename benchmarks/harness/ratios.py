"""Computes the ratio of two times from interleaved pairs, with an interval."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

_COVERAGE = 0.95


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A median of paired ratios.

    Attributes:
        median: the median.
        low: lower end of the interval.
        high: upper end of the interval.
        coverage: probability with which such an interval holds the median of all ratios that could be measured, 0..1.
    """

    median: float
    low: float
    high: float
    coverage: float

    def __str__(self) -> str:
        interval = f" [{self.low:.2f}; {self.high:.2f}]" if self.coverage else ""  # one pair has none
        return f"{self.median:.2f}{interval}"


def median_ratio(ratios: Sequence[float]) -> Ratio:
    """Returns the median of paired ratios with the interval that the sign test gives for it.

    The interval reaches from the k-th smallest to the k-th largest ratio, with the largest k that still covers the true
    median with a probability of 95%, whatever the distribution is; of five or fewer ratios, which cannot reach that,
    from the smallest to the largest. Of n independent ratios, the true median is missed on one side if fewer than k of
    them lie there, which has the probability P(Binomial(n, 1/2) < k).

    >>> median_ratio([1.0, 1.5, 1.2, 1.1, 1.3, 1.4])
    Ratio(median=1.25, low=1.0, high=1.5, coverage=0.96875)

    Args:
        ratios: one ratio for each pair, at least one.
    """
    ordered, count = sorted(ratios), len(ratios)
    rank = max([1, *(rank for rank in range(1, (count + 1) // 2 + 1) if coverage(count, rank) >= _COVERAGE)])
    return Ratio(statistics.median(ordered), ordered[rank - 1], ordered[-rank], coverage(count, rank))


def coverage(count: int, rank: int) -> float:
    """Returns the probability that the median lies between the `rank`-th smallest and largest of `count` values."""
    return 1 - 2 * sum(math.comb(count, below) for below in range(rank)) / 2**count
