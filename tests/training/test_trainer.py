"""Tests what the trainer tells about a run."""

import math
import signal
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.paths import TINY_CONFIG
from vgg_keras.models import checkpoint_files, saving
from vgg_keras.tasks import training
from vgg_keras.training import messages
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.event_log import EventLog
from vgg_keras.training.messages import is_guessing
from vgg_keras.training.objectives import Classification
from vgg_keras.training.schedules import LearningRate, Schedule
from vgg_keras.training.train_step import TrainStep
from vgg_keras.utils import console, stopping
from vgg_keras.utils.errors import UserError, explain
from vgg_keras.utils.metrics import Score
from vgg_keras.utils.options import parse


@pytest.mark.parametrize(
    # The logarithms of 5 and 1000 are 1.609 and 6.908.
    ("loss", "num_classes", "expected"),
    [(1.61, 5, True), (1.60, 5, True), (1.55, 5, False), (6.9, 1000, True), (6.7, 1000, False), (math.inf, 5, True)],
)
def test_a_net_that_guesses(loss, num_classes, expected):
    assert is_guessing(loss, Classification(num_classes)) is expected


def test_a_net_that_does_not_learn_is_told_what_helps(tmp_path, drawn_data, capsys):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    with console.speaking(True):
        training.train_model(parse([*flags, "--epochs=3", "--learning_rate=1e-9"], TrainConfig))
    told = [line for line in capsys.readouterr().out.splitlines() if "has not begun to learn" in line]
    assert len(told) == 1  # after the second epoch alone
    assert "is no better than that of guessing, 1.609." in told[0]
    assert "--optimizer=adam --learning_rate=1e-4" in told[0]


@pytest.mark.parametrize(
    ("epoch", "training_loss", "validation_loss", "told"),
    [
        (1, 1.61, 1.61, False),
        (2, 1.61, 1.61, True),
        (3, 1.61, 1.61, False),  # it has been told
        (2, 0.01, 4.0, False),  # it overfits
        (2, 1.7, 1.2, False),  # it learns, with a strong dropout
    ],
)
def test_when_a_net_is_told_not_to_learn(epoch, training_loss, validation_loss, told):
    entry = {"epoch": epoch, "complete": True, "step": 8 * epoch, "learning_rate": 0.01, "images_per_second": 1.0}
    schedule = Schedule(epochs=3, max_steps=0, steps_per_epoch=8, learning_rate=LearningRate(0.01), patience=5)
    scores = {"training": Score(training_loss, 50.0, 0.0, 60), "validation": Score(validation_loss, 60.0, 0.0, 35)}
    assert ("has not begun to learn" in messages.epoch(entry, schedule, scores, Classification(5))) is told


def test_an_error_of_a_writer_is_not_blamed_on_the_data(tmp_path, drawn_data, monkeypatch):
    error = tf.errors.FailedPreconditionError(None, None, "run/tensorboard/training is not a directory")
    monkeypatch.setattr(EventLog, "add_step_loss", Mock(side_effect=error))
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    with pytest.raises(tf.errors.FailedPreconditionError) as caught:
        training.train_model(parse([*flags, "--max_steps=1"], TrainConfig))
    assert caught.value is error
    assert str(explain(error)).startswith("run/tensorboard/training is not a directory; choose another path")


def test_a_net_that_diverged_is_not_kept(tmp_path, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    with pytest.raises(UserError, match="the loss became NaN or infinite at step"):
        training.train_model(parse([*flags, "--epochs=2", "--learning_rate=1e6"], TrainConfig))
    best = tmp_path / "run" / "best.keras"
    assert not best.exists() or all(np.isfinite(array).all() for array in saving.load_model(best).get_weights())


@pytest.mark.parametrize(
    ("signals", "saved", "message"),
    [
        (1, 3, "the same command with --resume continues the run"),
        # The second signal comes before the third step counts.
        (2, 0, "no checkpoint holds more than 0 of the 2 steps: the same command with --resume begins anew"),
    ],
)
def test_the_last_line_of_a_run_that_is_stopped_is_true(signals, saved, message, tmp_path, drawn_data, monkeypatch):
    stop_at_third_step(monkeypatch, signals)
    with pytest.raises(stopping.Stopped, match=f"^stopped by SIGTERM; {message}$"), stopping.raising():
        train(tmp_path / "run", drawn_data)
    assert checkpoint_files.steps(tmp_path / "run" / "checkpoints")[0] == saved


def stop_at_third_step(monkeypatch, signals=1):
    """Sends SIGTERM to this process in the third step of a run, once or several times."""
    train_once = TrainStep.train

    def train_and_stop(self, batch, step, asked):
        sums = train_once(self, batch, step, asked)
        for _ in range(signals if step == 2 else 0):
            signal.raise_signal(signal.SIGTERM)
        return sums

    monkeypatch.setattr(TrainStep, "train", train_and_stop)


def train(run, data, *flags):
    required = [f"--flagfile={TINY_CONFIG}", f"--data_dir={data}", f"--output_dir={run}"]
    return training.train_model(parse([*required, *flags], TrainConfig))


def test_a_run_beyond_its_limit_is_left_as_it_is(tmp_path, drawn_data, capsys):
    run, cached = tmp_path / "run", tmp_path / "run" / "cache" / "view1.npy"
    train(tmp_path / "first", drawn_data, "--max_steps=1")
    flags = [f"--init_from={tmp_path / 'first'}", "--freeze_up_to=block1_pool", "--cache_views=1"]
    train(run, drawn_data, *flags, "--max_steps=9")  # an epoch has eight
    cached.parent.mkdir()
    cached.touch()
    before = contents(run)
    for limit, shown in (("--max_steps=5", "--max_steps=5"), ("--epochs=1", "--epochs=1 (step 8)")):
        with console.speaking(True):
            result = train(run, drawn_data, *flags, "--resume", f"--export_dir={tmp_path / 'exported'}", limit)
        assert [line for line in capsys.readouterr().out.splitlines() if "nothing left" in line] == [
            f"nothing left to do: the run has reached step 9, beyond {shown}; its checkpoints, cache and exports are "
            "left as they are. Raise that limit to train on"
        ]
        assert (result.gone_beyond, result.exported, cached.exists()) == (True, None, True)
    assert contents(run) == before
    assert not (tmp_path / "exported").exists()


def contents(folder):
    """Returns the bytes of each file in a folder and below."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_damaged_run_beyond_its_limit_is_left_as_it_is(tmp_path, drawn_data):
    run = tmp_path / "run"
    trained = train(run, drawn_data, "--epochs=2", "--learning_rate=1e-2")
    assert (run / "best.keras").read_bytes() == (run / "checkpoints" / "best-16.keras").read_bytes()
    (run / "checkpoints" / "ckpt-16.index").write_bytes(b"damaged")
    before = contents(run)
    assert train(run, drawn_data, "--resume", "--max_steps=5", "--learning_rate=1e-2").gone_beyond
    assert contents(run) == before
    (run / "history.jsonl").write_bytes(b"damaged\n")
    before = contents(run)
    result = train(run, drawn_data, "--resume", "--max_steps=5", "--learning_rate=1e-2")
    assert contents(run) == before
    assert result.history == trained.history[:1]  # what the checkpoint of step 8 knows


def test_a_run_beyond_its_limit_and_without_a_model_is_left_as_it_is(tmp_path, drawn_data, monkeypatch):
    run = tmp_path / "run"
    stop_at_third_step(monkeypatch)
    with pytest.raises(stopping.Stopped), stopping.raising():
        train(run, drawn_data, "--max_steps=5")
    before = contents(run)
    result = train(run, drawn_data, "--max_steps=2", "--resume")
    assert contents(run) == before
    assert result.summary() == f"{run} has no best model yet, since no epoch of it has been validated"
    assert result.next_steps() == ""


def test_a_run_that_is_stopped_after_its_last_step_ends_with_a_model(tmp_path, drawn_data, monkeypatch):
    stop_at_third_step(monkeypatch)
    with pytest.raises(stopping.Stopped), stopping.raising():
        train(tmp_path / "run", drawn_data, "--max_steps=3")
    result = train(tmp_path / "run", drawn_data, "--max_steps=3", "--resume")
    assert result.best_model.exists()
    assert 0 <= result.best_error <= 100
