"""The learning rate rule, played through by hand."""

from vgg_keras.plateau import Plateau


def test_divides_by_ten_three_times_and_then_stops():
    plateau = Plateau(patience=2)
    rates, finished = [], []
    for error in (50, 40, 40, 41, 39, 39, 39, 39, 39, 38, 38, 38):
        plateau = plateau.update(error)
        rates.append(round(plateau.rate(0.01), 8))
        finished.append(plateau.finished)
    # Two epochs without a new best: the 4th, 7th, 9th and 12th.
    assert rates == [1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 4
    assert finished == [False] * 11 + [True]
    assert plateau.best_error == 38


def test_an_equal_error_is_no_improvement():
    assert Plateau(patience=1).update(30.0).update(30.0).drops == 1
