"""Tests that workers with other settings are found; they are threads here."""

import dataclasses

import pytest

from tests.helpers.workers import make_clusters, run_workers
from vgg_keras.training import workers
from vgg_keras.training.config import TrainConfig


def _stop_lines(bodies):
    clusters = make_clusters(len(bodies))
    errors = run_workers(clusters, bodies)
    return [str(error).replace(f"{clusters[0].tasks[1]}: ", "") if error else "" for error in errors]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, ""),
        ({"data_dir": "/elsewhere", "worker_timeout": 9.0, "output_dir": "/mnt/run"}, ""),
        ({"seed": 3}, "--seed is 3, the chief has 0"),
        (
            {"micro_batch_size": 2, "log_every": 1},
            "--micro_batch_size is 2, the chief has 0; --log_every is 1, the chief has 20",
        ),
    ],
)
def test_settings_of_the_workers(change, line):
    chief = TrainConfig(output_dir="run")
    other = dataclasses.replace(chief, **change)
    bodies = [
        lambda channel, options=options: workers.require_same_settings(channel, options, "float32")
        for options in (chief, other)
    ]
    assert _stop_lines(bodies) == [line, line]


def test_precisions_that_the_machines_chose():
    options = TrainConfig(output_dir="run")
    bodies = [
        lambda channel, precision=precision: workers.require_same_settings(channel, options, precision)
        for precision in ("mixed_bfloat16", "float32")
    ]
    assert _stop_lines(bodies) == ["the precision is 'float32', the chief has 'mixed_bfloat16'"] * 2
