"""Tests that one device, two devices and two machines give the same losses and errors (arXiv:1409.1556, sect. 3.3)."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.processes import start_verb
from tests.helpers.workers import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

# Ten steps: an epoch of eight, whose last batch is filled up, and two steps of the next.
_FLAGS = [
    f"--flagfile={TINY_CONFIG}",
    "--epochs=2",
    "--max_steps=10",
    "--learning_rate=1e-3",
    "--precision=float32",
    # The gradient of the whole batch is clipped, not that of each device's part.
    '--optimizer_args={"global_clipnorm": 0.5}',
]


def _run(tmp_path, data, name, *flags, environments=({},)):
    """Trains with one process for each environment; returns the step losses and the history of the first process."""
    arguments = [*_FLAGS, f"--data_dir={data}", *flags]
    processes = [
        start_verb("vgg_keras.train", *arguments, f"--output_dir={name}", cwd=tmp_path, env=env) for env in environments
    ]
    for process in processes:
        _, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr
    events = EventAccumulator(str(tmp_path / name / "tensorboard" / "training")).Reload()
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors("step_loss")]
    return losses, [json.loads(line) for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]


def test_one_device_two_devices_and_two_workers_agree(tmp_path, drawn_data):
    one = _run(tmp_path, drawn_data, "one", "--strategy=one_device")
    two = _run(tmp_path, drawn_data, "two", "--strategy=mirrored", "--cpu_devices=2")
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    environments = [
        {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})} for index in (0, 1)
    ]
    workers = _run(tmp_path, drawn_data, "workers", environments=environments)
    parts = _run(tmp_path, drawn_data, "parts", "--strategy=one_device", "--micro_batch_size=2")

    losses, history = one
    assert len(losses) == 10
    assert [entry["validation_num_images"] for entry in history] == [35, 35]
    errors = [key for key in history[0] if key.endswith("error")]
    for other_losses, other_history in (two, workers, parts):
        np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
        for entry, expected in zip(other_history, history, strict=True):
            assert [entry[key] for key in errors] == [expected[key] for key in errors]
            np.testing.assert_allclose(entry["validation_loss"], expected["validation_loss"], rtol=1e-5)


def test_batch_size_that_does_not_divide_by_the_devices_is_refused(run_verb, drawn_data):
    code, _, stderr = run_verb(
        "vgg_keras.train", *_FLAGS, f"--data_dir={drawn_data}", "--output_dir=run",
        "--strategy=mirrored", "--cpu_devices=2", "--batch_size=7",
    )  # fmt: skip
    assert code == 1
    assert "--batch_size=7 cannot be shared out equally over 2 devices; give 6 or 8" in stderr
