"""Tests training in several processes: the roles of their tasks, a lost worker, resuming, settings that differ."""

import json
import os
import re
import resource
import signal

import pytest

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.processes import newest_checkpoint_is, start_verb, wait_until
from tests.helpers.runs import assert_same_weights, history
from tests.helpers.workers import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

_FLAGS = (
    f"--flagfile={TINY_CONFIG}",
    "--epochs=2",
    "--max_steps=10",
    "--checkpoint_every=6",
    "--learning_rate=1e-3",
    "--precision=float32",
    "--worker_timeout=600",
)


def _two_workers():
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    tasks = [{"type": "worker", "index": index} for index in (0, 1)]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def _chief_and_worker():
    chief, worker = (f"127.0.0.1:{port}" for port in free_ports(2))
    cluster = {"worker": [worker], "chief": [chief], "evaluator": ["127.0.0.1:1"]}
    tasks = [{"type": kind, "index": 0} for kind in ("chief", "worker")]
    return [{"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks]


def _slurm_step():
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "2"}
    # The ports follow from the job's number.
    return [{**step, "SLURM_JOB_ID": str(os.getpid()), "SLURM_PROCID": str(rank), "TF_CONFIG": ""} for rank in (0, 1)]


def _start(folder, data, environments, *flags, name="run", only_second=()):
    arguments = [*_FLAGS, f"--output_dir={name}", *flags]
    own = [[f"--data_dir={data}"], only_second or [f"--data_dir={data}"]]
    return [
        start_verb("vgg_keras.train", *arguments, *flags_of_one, cwd=folder, env=environment)
        for flags_of_one, environment in zip(own, environments, strict=True)
    ]


def _finish(processes):
    """Returns (exit code, stdout, stderr) of each process."""
    outputs = [process.communicate(timeout=900) for process in processes]
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


@pytest.mark.generations
def test_a_lost_worker_is_named_and_the_resumed_run_has_the_same_bits_in_all_roles(tmp_path, drawn_data):
    # Chief and worker, to the end; the evaluator that the cluster names is not missed.
    chief, worker = _finish(_start(tmp_path, drawn_data, _chief_and_worker(), name="whole"))
    assert (chief[0], worker[0]) == (0, 0), (chief, worker)
    assert "2 workers in TF_CONFIG" in chief[1]
    assert "best model" in chief[1]
    assert "best model" not in worker[1]

    # Two workers, of which the second is killed.
    processes = _start(tmp_path, drawn_data, _two_workers(), "--max_steps=8", name="broken")
    wait_until(processes, lambda: newest_checkpoint_is(tmp_path / "broken", 6))
    os.kill(processes[1].pid, signal.SIGKILL)
    (code, _, stderr), (killed, _, _) = _finish(processes)
    if code:  # the run may have ended before the signal came
        assert (code, killed) == (75, -signal.SIGKILL)
        assert stderr.startswith("error: worker 1, 127.0.0.1:")
        assert "is gone: its process was killed or its machine went down; start all workers again" in stderr
        assert stderr.count("\n") == 1

    # Resumed as two tasks of Slurm.
    resumed = _finish(_start(tmp_path, drawn_data, _slurm_step(), "--resume", name="broken"))
    assert [code for code, _, _ in resumed] == [0, 0], resumed
    assert "2 workers in Slurm" in resumed[0][1]
    assert history(tmp_path / "broken") == history(tmp_path / "whole")
    assert_same_weights(tmp_path / "broken", tmp_path / "whole")


@pytest.mark.generations
def test_only_the_chief_writes_weights(tmp_path, drawn_data):
    # In Keras 2, statistics of batch normalization are averaged over the workers as they are read.
    processes = _start(tmp_path, drawn_data, _two_workers(), "--max_steps=4", "--batch_norm", "--checkpoint_every=2")
    # The weights have megabytes.
    resource.prlimit(processes[1].pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    assert [code for code, _, _ in _finish(processes)] == [0, 0]
    files = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    parts = [f"ckpt-{step}.{part}" for step in (0, 2, 4) for part in ("data-00000-of-00001", "index", "json")]
    assert files == {"checkpoint", "best-4.keras", *parts}
    assert (tmp_path / "run" / "best.keras").stat().st_size > 1_000_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_worker_that_is_asked_to_stop_stops_all_of_them_at_the_same_step(tmp_path, drawn_data):
    endless = ["--epochs=1000", "--max_steps=0", "--log_every=2"]
    processes = _start(tmp_path, drawn_data, _two_workers(), *endless)
    wait_until(processes, lambda: newest_checkpoint_is(tmp_path / "run", 6))
    processes[1].send_signal(signal.SIGTERM)
    (chief_code, stdout, chief_stderr), (code, _, stderr) = _finish(processes)
    assert (chief_code, code) == (75, 75), (chief_stderr, stderr)
    step = int(re.search(r"another worker stops the run at epoch \d+, step (\d+): a checkpoint is saved", stdout)[1])
    assert newest_checkpoint_is(tmp_path / "run", step)
    assert chief_stderr.endswith("stopped with another worker; the same command with --resume continues the run\n")
    assert stderr.endswith("stopped by SIGTERM; the same command with --resume continues the run\n")


def test_workers_that_differ_stop_with_the_same_line(tmp_path, drawn_data):
    results = _finish(
        _start(tmp_path, drawn_data, _two_workers(), only_second=["--learning_rate=0.01", "--data_dir=/elsewhere"])
    )
    assert [code for code, _, _ in results] == [1, 1]
    errors = {stderr for _, _, stderr in results}
    assert len(errors) == 1
    assert "--learning_rate is 0.01, the chief has 0.001" in errors.pop()
    assert not (tmp_path / "run").exists()
