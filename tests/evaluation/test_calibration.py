"""Compares the measures of calibration and the fitted temperature with numbers worked out by hand, and with loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.numpy_net import softmax
from vgg_keras.evaluation import calibration, reliability_diagram
from vgg_keras.inference import posteriors as graph
from vgg_keras.utils import structures


def drawn(count=400, classes=5, sharpened=2.5, seed=0):
    """Draws labels by the softmax of class scores; returns posteriors of scores times a factor, and the labels."""
    rng = np.random.default_rng(seed)
    scores = 2 * rng.normal(size=(count, classes))
    labels = np.array([rng.choice(classes, p=softmax(row)) for row in scores])
    return softmax(sharpened * scores).astype(np.float32), labels


def test_a_temperature_by_hand():
    # All images have the scores (ln 9, 0), so that the first class has 0.9, but it is right for three of four: the best
    # posterior is 0.75, with scores that differ by ln 3, which are ln 9 / 2.
    posteriors, labels = np.tile(np.float32([[0.9, 0.1]]), (8, 1)), np.array([0, 0, 0, 1] * 2)
    assert calibration.fit_temperature(posteriors, labels) == pytest.approx(2, rel=1e-6)
    np.testing.assert_allclose(calibration.temper(posteriors, 2), [[0.75, 0.25]] * 8, rtol=1e-6)


def test_a_temperature_below_one():
    # 0.6 where 0.9 is right: the scores ln 1.5 have to become ln 9.
    posteriors, labels = np.tile(np.float32([[0.6, 0.4]]), (10, 1)), np.array([0] * 9 + [1])
    assert calibration.fit_temperature(posteriors, labels) == pytest.approx(math.log(1.5) / math.log(9), rel=1e-5)


def test_the_minimum_of_a_search_over_all_temperatures():
    posteriors, labels = drawn()
    temperatures = np.geomspace(0.05, 20, 4001)
    losses = [
        -np.log(softmax(np.log(posteriors.astype(float)) / one)[np.arange(400), labels]).mean() for one in temperatures
    ]
    best = temperatures[int(np.argmin(losses))]
    assert calibration.fit_temperature(posteriors, labels) == pytest.approx(best, rel=2e-3)
    assert 2 < best < 3


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([0, 0, 0, 0], 0.05), ([1, 1, 1, 1], 20.0)],  # always right: the colder the better; always wrong: the warmer
)
def test_a_minimum_beyond_the_bounds(labels, expected):
    assert calibration.fit_temperature(np.float32([[0.9, 0.1]] * 4), np.array(labels)) == pytest.approx(expected)


def test_posteriors_that_are_zero_in_float32():
    posteriors = np.float32([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [1, 0, 0]])
    found = calibration.calibration_record(posteriors, np.array([0, 1, 0, 2]))
    assert np.isfinite([found["before"]["loss"], found["before"]["ece"]]).all()
    assert np.isfinite(calibration.temper(posteriors, 20.0)).all()


def test_the_graph_and_numpy_scale_alike_eagerly_and_traced():
    posteriors, _ = drawn(count=30)
    expected = softmax(np.log(posteriors.astype(float)) / 1.7)
    np.testing.assert_allclose(calibration.temper(posteriors, 1.7), expected, rtol=1e-9)
    for scale in (graph.temper, tf.function(graph.temper)):
        np.testing.assert_allclose(scale(tf.constant(posteriors), 1.7).numpy(), expected, rtol=1e-5)
        np.testing.assert_array_equal(scale(tf.constant(posteriors), 1.0).numpy(), posteriors)
    # The order of the classes stays.
    np.testing.assert_array_equal(expected.argsort(axis=1), posteriors.argsort(axis=1))


def test_the_error_of_calibration_by_hand():
    # Two bins hold images: (0.6, 0.6667] three, right once, and (0.8667, 0.9333] two, right twice.
    posteriors = np.float32([[0.65, 0.35], [0.65, 0.35], [0.35, 0.65], [0.9, 0.1], [0.1, 0.9]])
    found = calibration.Reliability.of(posteriors, np.array([1, 1, 1, 0, 1]))
    assert found.ece == pytest.approx(3 / 5 * abs(1 / 3 - 0.65) + 2 / 5 * abs(1 - 0.9), abs=1e-6)
    shown = {index: one["images"] for index, one in enumerate(found.bins) if one["images"]}
    assert shown == {9: 3, 13: 2}
    assert (found.bins[9]["accuracy"], found.bins[9]["confidence"]) == pytest.approx((1 / 3, 0.65))
    assert found.bins[0] == {"images": 0, "confidence": None, "accuracy": None}
    assert found.loss == pytest.approx(-np.log([0.35, 0.35, 0.65, 0.9, 0.9]).mean(), abs=1e-6)
    # By chance one image of 0.65 is right or wrong: its mean distance is 2 * 0.65 * 0.35 = 0.455.
    one = calibration.Reliability.of(np.float32([[0.65, 0.35]]), np.array([0]))
    assert one.chance_ece == pytest.approx(0.455, abs=0.03)


def test_the_error_of_calibration_by_a_loop():
    posteriors, labels = drawn(count=300, classes=7, seed=3)
    total = 0.0
    for low in range(15):
        inside = [
            (row.max(), float(row.argmax() == label))
            for row, label in zip(posteriors.astype(float), labels, strict=True)
            if low / 15 < row.max() <= (low + 1) / 15
        ]
        if inside:
            total += len(inside) / 300 * abs(np.mean([c for c, _ in inside]) - np.mean([r for _, r in inside]))
    assert calibration.Reliability.of(posteriors, labels).ece == pytest.approx(total, abs=1e-9)


def test_calibrated_posteriors_are_near_what_chance_gives():
    posteriors, labels = drawn(count=2000, sharpened=1)
    found = calibration.Reliability.of(posteriors, labels)
    assert found.ece < 2 * found.chance_ece


def test_each_half_is_scaled_by_the_temperature_of_the_other():
    posteriors, labels = drawn()
    found = calibration.calibration_record(posteriors, labels)
    half = calibration.halves(posteriors.argmax(axis=1) != labels)
    wrong = posteriors.argmax(axis=1) != labels
    assert abs(int(half.sum()) - 200) <= 1
    assert abs(int(half[wrong].sum()) - int(wrong.sum()) / 2) <= 1
    first, second = (calibration.fit_temperature(posteriors[half == one], labels[half == one]) for one in (0, 1))
    assert found["temperatures_of_halves"] == [first, second]
    scaled = softmax(np.log(posteriors.astype(float)) / np.where(half == 0, second, first)[:, np.newaxis])
    assert found["after"]["ece"] == pytest.approx(calibration.Reliability.of(scaled, labels).ece, abs=1e-6)
    assert found["after"]["ece"] < 0.5 * found["before"]["ece"]
    assert structures.find_problem(found, calibration.STRUCTURE) == ""
    assert found == calibration.calibration_record(posteriors, labels)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]])
def test_without_two_mistakes_there_is_no_temperature(labels):
    found = calibration.calibration_record(np.float32([[0.9, 0.1]] * 4), np.array(labels))
    assert (found["temperature"], found["after"], found["temperatures_of_halves"]) == (None, None, [])
    assert "No temperature could be fitted: " in calibration.text(found)
    assert len(calibration.table(found).rows) == 1
    assert len(reliability_diagram.draw(calibration.measured(found)).axes) == 2


def test_the_diagram_shows_the_bins():
    posteriors, labels = drawn()
    found = calibration.calibration_record(posteriors, labels)
    axes = reliability_diagram.draw(calibration.measured(found)).axes
    assert len(axes) == 4
    heights = [bar.get_height() for bar in axes[0].patches]
    assert heights == [one["accuracy"] or 0 for one in calibration.Reliability.of(posteriors, labels).bins]
    shares = sum(bar.get_height() for bar in axes[2].patches)
    assert shares == pytest.approx(100)


def test_a_constant_net_has_no_temperature():
    found = calibration.calibration_record(np.full((6, 3), 1 / 3, np.float32), np.array([0, 1, 2] * 2))
    assert found["temperature"] is None
    assert "No temperature could be fitted: all classes have the same posterior" in calibration.text(found)


def test_a_perfect_net_has_no_negative_loss():
    found = calibration.calibration_record(np.eye(3, dtype=np.float32), np.arange(3))
    assert math.copysign(1, found["before"]["loss"]) == 1
    assert "fewer than two photos are classified wrongly" in calibration.text(found)


def test_a_temperature_at_a_bound_is_not_called_the_best():
    # Right for one image of four: the posterior of the predicted one of two classes should be below 0.5.
    posteriors = np.tile(np.float32([[0.9, 0.1]]), (8, 1))
    found = calibration.calibration_record(posteriors, np.array([0, 1, 1, 1] * 2))
    assert "is the highest that is allowed; a higher one would give a lower" in calibration.text(found)
