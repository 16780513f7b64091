"""Tests the median of paired ratios and its interval, with numbers worked out by hand."""

import pytest

from benchmarks.harness.ratios import Ratio, coverage, median_ratio


def test_six_pairs_are_enclosed_by_the_smallest_and_the_largest():
    # Two of 2^6 = 64 equally likely patterns of signs have all six on one side: 1 - 2/64.
    assert median_ratio([2.0, 1.0, 1.5, 3.0, 1.25, 1.75]) == Ratio(1.625, 1.0, 3.0, 0.96875)


def test_nine_pairs_leave_out_one_on_each_side():
    # (1 + 9) of 512 patterns have at most one on a side: 1 - 20/512; with (1 + 9 + 36) it would be 1 - 92/512 = 82%.
    found = median_ratio([9.0, 1.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0])
    assert found == Ratio(5.0, 2.0, 8.0, 0.9609375)


def test_fewer_pairs_are_enclosed_with_a_smaller_probability():
    assert median_ratio([1.0, 2.0, 4.0]) == Ratio(2.0, 1.0, 4.0, 0.75)
    assert median_ratio([1.0, 2.0]) == Ratio(1.5, 1.0, 2.0, 0.5)
    assert median_ratio([1.5]) == Ratio(1.5, 1.5, 1.5, 0.0)


# From tables of the sign test: the interval of n = 10 from the 2nd on, of n = 15 from the 4th, of n = 20 from the 6th.
@pytest.mark.parametrize(("count", "rank", "expected"), [(10, 2, 0.9785), (15, 4, 0.9648), (20, 6, 0.9586)])
def test_published_intervals(count, rank, expected):
    assert coverage(count, rank) == pytest.approx(expected, abs=5e-5)
    found = median_ratio([float(value) for value in range(1, count + 1)])
    assert (found.low, found.high) == (rank, count + 1 - rank)


def test_the_text():
    assert str(Ratio(1.625, 1.0, 3.004, 0.97)) == "1.62 [1.00; 3.00]"
    assert str(Ratio(1.5, 1.5, 1.5, 0.0)) == "1.50"
