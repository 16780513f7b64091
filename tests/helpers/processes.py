"""Starts verbs in processes of their own, and kills them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from tests.helpers.nursery import Forked
from tests.helpers.paths import ROOT

_RUN = "import runpy, sys; del sys.argv[0]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
# Environment variables that are read after Python and TensorFlow have started.
_READ_LATE = ("TF_CONFIG", "SLURM_")

Process = subprocess.Popen | Forked


def start_verb(module: str, *arguments: str, cwd: Path, env: dict | None = None, anew: bool = False) -> Process:
    """Starts `python -m module arguments` in a folder, as a user would.

    A verb of `vgg_keras` is forked from a process that has TensorFlow loaded, unless environment variables are given
    that matter to its start.

    Args:
        module: the verb.
        arguments: its command line.
        cwd: working folder.
        env: environment variables in addition to those of the tests.
        anew: whether the process loads everything by itself, as tests of its start need it.
    """
    environment = {**os.environ, **(env or {})}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    if module.startswith("vgg_keras.") and not anew and all(name.startswith(_READ_LATE) for name in env or {}):
        return Forked(_RUN, [module, *arguments], cwd, environment)
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# Runs a verb, and sends SIGKILL to itself when the verb calls a function for the time of a number.
_KILLED_AT = """
import os, pkgutil, runpy, signal, sys
function, left, verb, *sys.argv[1:] = sys.argv[1:]
module, _, name = function.rpartition(".")
owner, left = pkgutil.resolve_name(module), int(left)
original = getattr(owner, name)

def counted(*arguments, **named):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)

setattr(owner, name, counted)
runpy.run_module(verb, run_name="__main__", alter_sys=True)
"""


def run_killed_at(function: str, module: str, *arguments: str, cwd: Path, call: int = 1) -> None:
    """Runs a verb that is killed by SIGKILL as it calls a function, such as "vgg_keras.serving.model_card.text".

    Args:
        function: the function or method, with its module.
        module: the verb.
        arguments: its command line.
        cwd: working folder.
        call: number of the call at which it is killed, from 1.
    """
    process = start_killed_at(function, module, *arguments, cwd=cwd, call=call)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL, stderr


def start_killed_at(
    function: str, module: str, *arguments: str, cwd: Path, call: int = 1, env: dict | None = None
) -> Process:
    """Starts a verb that is killed by SIGKILL as it calls a function, as `run_killed_at` runs it to that end."""
    environment = {**os.environ, **(env or {}), "PYTHONPATH": str(ROOT)}
    return Forked(_KILLED_AT, [function, str(call), module, *arguments], cwd, environment)


def wait_until(processes: Sequence[Process], condition: Callable[[], bool]) -> None:
    """Waits until a condition holds while verbs run."""
    deadline = time.monotonic() + 600
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_when(process: Process, condition: Callable[[], bool]) -> None:
    """Sends SIGKILL to a verb as soon as a condition holds."""
    wait_until([process], condition)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def newest_checkpoint_is(folder: Path, step: int) -> bool:
    """Returns whether the newest checkpoint of a run is that of a step."""
    return (tf.train.latest_checkpoint(str(folder / "checkpoints")) or "").endswith(f"-{step}")


def is_running(process_id: int) -> bool:
    """Returns whether a process exists and has not ended; one that nobody has waited for counts as ended."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(process_id: int) -> list[int]:
    """Returns the numbers of the processes that a process has started and that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process_id and is_running(int(folder.name)):
                found.append(int(folder.name))
    return found


def descendants(process_id: int) -> list[int]:
    """Returns the numbers of the processes that a process has started, and those that these have, and so on."""
    return [each for child in children(process_id) for each in (child, *descendants(child))]


def worker_processes(process_id: int) -> list[int]:
    """Returns the numbers of the worker processes of `multiprocessing` that a process has started and that run."""
    lines = {child: Path(f"/proc/{child}/cmdline") for child in children(process_id)}
    return [child for child, line in lines.items() if line.exists() and b"spawn_main" in line.read_bytes()]


def wait_for_end(process_id: int) -> None:
    """Waits until a process has ended."""
    deadline = time.monotonic() + 60
    while is_running(process_id):
        assert time.monotonic() < deadline, f"process {process_id} is still running"
        time.sleep(0.01)
