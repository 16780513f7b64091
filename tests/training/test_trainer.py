"""Tests what the trainer tells about a run."""

import math

import numpy as np
import pytest

from tests.helpers.paths import TINY_CONFIG
from vgg_keras.models import saving
from vgg_keras.tasks import training
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.messages import is_guessing
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse


@pytest.mark.parametrize(
    # The logarithms of 5 and 1000 are 1.609 and 6.908.
    ("loss", "num_classes", "expected"),
    [(1.61, 5, True), (1.60, 5, True), (1.55, 5, False), (6.9, 1000, True), (6.7, 1000, False), (math.inf, 5, True)],
)
def test_a_net_that_guesses(loss, num_classes, expected):
    assert is_guessing(loss, num_classes) is expected


def test_a_net_that_does_not_learn_is_told_what_helps(tmp_path, drawn_data, capsys):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    with console.speaking(True):
        training.train_model(parse([*flags, "--epochs=2", "--learning_rate=1e-9"], TrainConfig))
    told = [line for line in capsys.readouterr().out.splitlines() if "has not begun to learn" in line]
    assert len(told) == 1  # after the second epoch, not after the first
    assert "is that of guessing among 5 classes" in told[0]
    assert "--optimizer=adam --learning_rate=1e-4" in told[0]


def test_a_net_that_diverged_is_not_kept(tmp_path, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    with pytest.raises(UserError, match="the loss became NaN or infinite at step"):
        training.train_model(parse([*flags, "--epochs=2", "--learning_rate=1e6"], TrainConfig))
    best = tmp_path / "run" / "best.keras"
    assert not best.exists() or all(np.isfinite(array).all() for array in saving.load_model(best).get_weights())
