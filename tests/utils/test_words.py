"""Tests the wording of numbers."""

import doctest

import pytest

from vgg_keras.training import messages
from vgg_keras.training.objectives import Classification
from vgg_keras.training.schedules import LearningRate, Schedule
from vgg_keras.utils import words
from vgg_keras.utils.metrics import Score


def test_examples():
    assert doctest.testmod(words) == (0, 2)


@pytest.mark.parametrize(("count", "text"), [(0, "0 photos"), (1, "1 photo"), (2, "2 photos"), (1000, "1,000 photos")])
def test_one_is_no_plural(count, text):
    assert words.counted(count, "photo") == text


@pytest.mark.parametrize(("speed", "end"), [(0.04, ", 0.04 images/s"), (12.34, ", 12.3 images/s"), (0.0, "rate 0.1")])
def test_an_epoch_tells_its_speed_if_it_had_a_step(speed, end):
    entry = {"epoch": 1, "complete": True, "step": 8, "learning_rate": 0.1, "images_per_second": speed}
    schedule = Schedule(epochs=2, max_steps=0, steps_per_epoch=8, learning_rate=LearningRate(0.1), patience=5)
    score = Score.from_sums((1.0, 0.0, 0.0, 1.0))
    first, second = messages.epoch(entry, schedule, {"validation": score}, Classification(5)).splitlines()
    assert first.endswith(end)
    assert second.startswith("  validation: 1 photo, ")
