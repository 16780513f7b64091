"""Tests the learning rate of each step against values worked out by hand."""

import numpy as np

from vgg_keras.training.schedules import LearningRate, Plateau


def test_divides_by_ten_three_times_and_then_stops():
    plateau = Plateau(patience=2)
    rates, finished = [], []
    for error in (50, 40, 40, 41, 39, 39, 39, 39, 39, 38, 38, 38):
        plateau = plateau.update(error)
        rates.append(round(0.01 * plateau.factor(), 8))
        finished.append(plateau.finished)
    # The 4th, 7th, 9th and 12th epoch are each the second in a row without a new best error.
    assert rates == [1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 4
    assert finished == [False] * 11 + [True]
    assert plateau.best_error == 38


def test_an_equal_error_is_no_improvement():
    assert Plateau(patience=1).update(30.0).update(30.0).drops == 1


def test_warm_up_and_then_the_plateau_rule():
    rate, dropped = LearningRate(0.1, warm_up_steps=4), Plateau(patience=1).update(30.0).update(30.0)
    np.testing.assert_allclose([rate.at(step, Plateau(1)) for step in range(6)], [0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    np.testing.assert_allclose(rate.at(9, dropped), 0.01)


def test_half_a_cosine_after_the_warm_up():
    rate = LearningRate(0.2, warm_up_steps=2, cosine_steps=8)
    # The cosines of 0, 60, 120 and 180 degrees are 1, 1/2, -1/2 and -1.
    received = [rate.at(step, Plateau(1)) for step in (0, 1, 2, 4, 6, 8, 9)]
    np.testing.assert_allclose(received, [0.1, 0.2, 0.2, 0.15, 0.05, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(LearningRate(0.2, 0, 4).at(2, Plateau(1)), 0.1)
