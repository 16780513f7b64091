"""Tests paired differences against numbers worked out by hand, against SciPy and against a bootstrap."""

import numpy as np
import pytest
from scipy import stats

from vgg_keras.evaluation.paired import PairedDifference, paired_difference


def test_a_difference_worked_out_by_hand():
    # 200 images: 10 wrong by the first alone, 25 by the second alone: (25 - 10) / 200 = 7.5 points.
    found = PairedDifference(first_alone=10, second_alone=25, num_images=200)
    assert found.points == 7.5
    # Half an image in each of four cells: 15 / 202 = 0.074257; variance (36 - 225 / 202) / 202^2 = 8.5497e-4.
    assert found.interval() == pytest.approx(
        (100 * (0.0742574 - 1.959964 * 0.0292399), 100 * (0.0742574 + 1.959964 * 0.0292399)), abs=1e-3
    )


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (1, 1), (10, 25), (25, 10), (700, 600), (0, 40)])
def test_p_values_are_those_of_the_binomial_test(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert PairedDifference(first, second, 10_000).p_value() == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_that_of_a_bootstrap():
    generator = np.random.default_rng(0)
    first = generator.random(2000) < 0.20
    second = np.where(generator.random(2000) < 0.9, first, generator.random(2000) < 0.35)
    found = paired_difference(first, second)
    differences = second.astype(float) - first
    assert found.points == pytest.approx(100 * differences.mean())
    means = [differences[generator.integers(0, 2000, 2000)].mean() for _ in range(4000)]
    assert found.interval() == pytest.approx(100 * np.quantile(means, [0.025, 0.975]), abs=0.12)


def test_results_that_are_the_same_differ_by_nothing():
    wrong = np.array([True, False, False])
    found = paired_difference(wrong, wrong)
    assert (found.points, found.p_value()) == (0.0, 1.0)
    low, high = found.interval()
    assert low < 0 < high
    assert found.text().startswith("+0.00 [-")


@pytest.mark.parametrize("second", [np.zeros(2, bool), np.zeros((3, 1), bool)])
def test_only_the_same_images_can_be_paired(second):
    with pytest.raises(ValueError, match="cannot pair"):
        paired_difference(np.zeros(3, bool), second)
