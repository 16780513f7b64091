"""Tests that a run that is killed and resumed has the same results as one that is not."""

import functools
import json
import re
import signal
import socket

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.processes import kill_when, newest_checkpoint_is, start_verb, wait_until
from tests.helpers.runs import assert_same_weights, history, weights
from vgg_keras.models.run_record import TIMING_KEYS

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess, pytest.mark.generations]

_FLAGS = [
    f"--flagfile={TINY_CONFIG}",
    "--epochs=3",
    "--learning_rate=1e-2",
    "--checkpoint_every=3",
    "--plateau_patience=1",
    "--resume",
]


def _without(arguments, *names):
    return [argument for argument in arguments if argument.partition("=")[0] not in names]


def _events(folder):
    """Returns what TensorBoard reads of a run: {(split, tag): [(step, value)]}, without timings."""
    found = {}
    for split in ("training", "validation"):
        events = EventAccumulator(str(folder / "tensorboard" / split), size_guidance={"tensors": 0}).Reload()
        for tag in set(events.Tags()["tensors"]) - set(TIMING_KEYS):
            values = [(event.step, tf.make_ndarray(event.tensor_proto).tolist()) for event in events.Tensors(tag)]
            found[split, tag] = values
    return found


def test_killed_twice_in_the_middle_of_an_epoch_ends_bit_identical(tmp_path, drawn_data, run_verb):
    arguments = [*_FLAGS, f"--data_dir={drawn_data}"]
    code, _, stderr = run_verb("vgg_keras.train", *arguments, "--output_dir=whole")
    assert code == 0, stderr

    # 60 photos in batches of 8 make epochs of 8 steps: steps 3 and 14 are in the middle of the first and the second.
    for step in (3, 14):
        process = start_verb("vgg_keras.train", *arguments, "--output_dir=killed", cwd=tmp_path)
        kill_when(process, functools.partial(newest_checkpoint_is, tmp_path / "killed", step))
    code, stdout, stderr = run_verb("vgg_keras.train", *arguments, "--output_dir=killed")
    assert code == 0, stderr
    assert "continuing at epoch 2" in stdout

    whole = history(tmp_path / "whole")
    assert len(whole) == 3
    assert history(tmp_path / "killed") == whole
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")
    assert any("momentum" in name or "optimizer" in name for name in weights(tmp_path / "whole"))

    # TensorBoard's curves and pictures are the same too: nothing is missing, nothing is there twice.
    events = _events(tmp_path / "whole")
    assert [step for step, _ in events["training", "step_loss"]] == list(range(1, 25))
    assert [step for step, _ in events["training", "augmented_images"]] == [1]
    assert [step for step, _ in events["validation", "loss"]] == [8, 16, 24]
    assert _events(tmp_path / "killed") == events
    assert (tmp_path / "killed" / "curves.png").exists()

    # A finished run that is resumed reports that and changes nothing; without --resume it is refused.
    code, stdout, _ = run_verb("vgg_keras.train", *arguments, "--output_dir=killed")
    assert code == 0
    assert "nothing left to do: the run has ended" in stdout
    assert history(tmp_path / "killed") == whole
    code, _, stderr = run_verb("vgg_keras.train", *_without(arguments, "--resume"), "--output_dir=killed")
    assert code == 1
    assert "killed holds a run; continue it with --resume" in stderr
    code, _, stderr = run_verb("vgg_keras.train", *arguments, "--dropout=0.1", "--output_dir=killed")
    assert code == 1
    assert "--dropout was 0.5, is 0.1" in stderr


def test_a_run_that_is_asked_to_stop_saves_what_it_has_done(tmp_path, drawn_data, run_verb):
    # Without checkpoints inside epochs, all that is saved in the middle of one is saved for the request.
    flags = _without(_FLAGS, "--checkpoint_every", "--epochs")
    arguments = [*flags, "--checkpoint_every=1000", "--epochs=40", f"--data_dir={drawn_data}", "--output_dir=run"]
    process = start_verb("vgg_keras.train", *arguments, cwd=tmp_path)
    wait_until([process], lambda: (tmp_path / "run" / "history.jsonl").exists() and history(tmp_path / "run"))

    # Meanwhile nobody else writes this run.
    process.send_signal(signal.SIGSTOP)
    code, _, stderr = run_verb("vgg_keras.train", *arguments)
    assert code == 1
    assert f"run is in use by process {process.pid} on {socket.gethostname()}, since 20" in stderr
    assert "choose another --output_dir" in stderr

    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 75, stderr
    found = re.search(r"SIGTERM stops the run at epoch (\d+), step (\d+): a checkpoint", stdout)
    assert stderr.endswith("stopped by SIGTERM; the same command with --resume continues the run\n")
    epoch, step = int(found[1]), int(found[2])
    assert tf.train.latest_checkpoint(str(tmp_path / "run" / "checkpoints")).endswith(f"ckpt-{step}")
    assert not (tmp_path / "run" / ".lock").exists()
    assert len(history(tmp_path / "run")) == epoch - 1

    limit = f"--max_steps={8 * (epoch + 1)}"
    code, stdout, stderr = run_verb("vgg_keras.train", *arguments, limit)
    assert code == 0, stderr
    assert f"continuing at epoch {epoch}, step {step}" in stdout
    code, _, stderr = run_verb("vgg_keras.train", *arguments[:-1], limit, "--output_dir=whole")
    assert code == 0, stderr
    assert history(tmp_path / "run") == history(tmp_path / "whole")
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_ended_in_the_middle_of_an_epoch_is_left_as_it_is_until_it_has_more_steps(
    tmp_path, drawn_data, run_verb
):
    def files():
        return {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    arguments = [*_FLAGS, f"--data_dir={drawn_data}", "--output_dir=run"]
    code, _, stderr = run_verb("vgg_keras.train", *arguments, "--max_steps=3")
    assert code == 0, stderr
    ended = files()
    code, stdout, stderr = run_verb("vgg_keras.train", *arguments, "--max_steps=3")
    assert code == 0, stderr
    assert "nothing left to do: the run has ended" in stdout
    assert files() == ended
    assert [entry["complete"] for entry in history(tmp_path / "run")] == [False]
    code, _, stderr = run_verb("vgg_keras.train", *arguments, "--max_steps=8")
    assert code == 0, stderr
    assert [(entry["epoch"], entry["complete"]) for entry in history(tmp_path / "run")] == [(1, True)]
    events = _events(tmp_path / "run")
    assert [step for step, _ in events["training", "step_loss"]] == list(range(1, 9))
    assert [step for step, _ in events["validation", "loss"]] == [8]  # as in the history


def test_nan_loss_stops_the_run_and_leaves_the_last_good_checkpoint(tmp_path, drawn_data, run_verb):
    arguments = [*_FLAGS, f"--data_dir={drawn_data}", "--output_dir=run"]
    code, _, stderr = run_verb("vgg_keras.train", *arguments, "--max_steps=4")
    assert code == 0, stderr
    good = weights(tmp_path / "run")
    # With another learning rate it would be another run, so the record is changed to one that makes the loss NaN.
    record = tmp_path / "run" / "run.json"
    content = json.loads(record.read_text())
    content["flags"]["learning_rate"] = 1e30
    record.write_text(json.dumps(content))
    code, _, stderr = run_verb("vgg_keras.train", *_without(arguments, "--learning_rate"), "--learning_rate=1e30")
    assert code == 1
    assert "the loss became NaN or infinite at step" in stderr
    assert "Traceback" not in stderr
    for name, value in weights(tmp_path / "run").items():
        np.testing.assert_array_equal(value, good[name], err_msg=name)
