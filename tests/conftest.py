"""Fixtures: small data sets, real photos where they are, and processes of the verbs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from data_prep import synthetic_flowers
from data_prep.builder import PrepareOptions, write_dataset

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = ROOT.parent / "shared" / "data"


def pytest_collection_modifyitems(items):
    """Skips tests of real photos, and says why, where the photos are not."""
    if REAL_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason="the real photos (../shared/data) are not on this machine"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos; tests that use it carry the marker real_data."""
    return REAL_DATA


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory) -> Path:
    """A data set of 60 + 35 drawn flowers; 35 divides by neither 8 nor 2."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    source = synthetic_flowers.source(7, {"train": 12, "validation": 7})
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1))
    return folder


def start_verb(module: str, *arguments: str, cwd: Path, env: dict | None = None) -> subprocess.Popen:
    """Starts `python -m module arguments` in a folder, as a user would."""
    environment = {**os.environ, **(env or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_when(process: subprocess.Popen, condition: Callable[[], bool]) -> None:
    """Sends SIGKILL to a verb as soon as a condition holds."""
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def newest_checkpoint_is(folder: Path, step: int) -> bool:
    """Returns whether the newest checkpoint of a run is that of a step."""
    return (tf.train.latest_checkpoint(str(folder / "checkpoints")) or "").endswith(f"-{step}")


@pytest.fixture
def run_verb(tmp_path):
    """A function that runs a verb to its end; returns (exit code, stdout, stderr)."""

    def run(module: str, *arguments: str, env: dict | None = None) -> tuple[int, str, str]:
        process = start_verb(module, *arguments, cwd=tmp_path, env=env)
        stdout, stderr = process.communicate(timeout=900)
        return process.returncode, stdout, stderr

    return run
