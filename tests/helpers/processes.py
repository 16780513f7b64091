"""Starts verbs in processes of their own, and kills them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tests.helpers.paths import ROOT


def start_verb(module: str, *arguments: str, cwd: Path, env: dict | None = None) -> subprocess.Popen:
    """Starts `python -m module arguments` in a folder, as a user would."""
    environment = {**os.environ, **(env or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# Runs a verb, and sends SIGKILL to itself when the verb calls a function.
_KILLED_AT = """
import importlib, os, runpy, signal, sys
function, verb, *sys.argv[1:] = sys.argv[1:]
module, _, name = function.rpartition(".")
setattr(importlib.import_module(module), name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
runpy.run_module(verb, run_name="__main__", alter_sys=True)
"""


def run_killed_at(function: str, module: str, *arguments: str, cwd: Path) -> None:
    """Runs a verb that is killed by SIGKILL as it calls a function, such as "vgg_keras.serving.model_card.text"."""
    command = [sys.executable, "-c", _KILLED_AT, function, module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert process.returncode == -signal.SIGKILL, process.stderr


def wait_until(process: subprocess.Popen, condition: Callable[[], object]) -> None:
    """Waits until a condition holds, while a verb runs."""
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_when(process: subprocess.Popen, condition: Callable[[], object]) -> None:
    """Sends SIGKILL to a verb as soon as a condition holds."""
    wait_until(process, condition)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def newest_checkpoint_is(folder: Path, step: int) -> bool:
    """Returns whether the newest checkpoint of a run is that of a step."""
    return (tf.train.latest_checkpoint(str(folder / "checkpoints")) or "").endswith(f"-{step}")
