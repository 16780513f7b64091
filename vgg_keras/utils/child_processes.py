"""Starts processes that end with the process that started them, however it ends."""

import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path

# The way in which processes are started: a forked copy of a process in which TensorFlow runs threads can hang.
SPAWN = multiprocessing.get_context("spawn")


def end_with_parent() -> None:
    """Lets this process end as soon as its parent has ended, even by SIGKILL; returns at once."""
    parent = multiprocessing.parent_process()
    assert parent

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _run_module(module: str, arguments: Sequence[str], folder: Path, without: Sequence[str]) -> None:
    """Runs a module as `python -m` does; the body of the process."""
    end_with_parent()
    if hasattr(os, "setpgid"):
        # Of a group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on once.
        os.setpgid(0, 0)
    for name in without:
        os.environ.pop(name, None)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_module(module: str, arguments: Sequence[str], folder: Path, without: Sequence[str] = ()) -> int:
    """Runs a module as `python -m` does, in a process of its own, and waits for its end.

    A request to stop (`stopping.Stopped`) is passed on as SIGTERM, and takes effect when the process has ended; a
    second one kills it.

    Args:
        module: dotted name of the module.
        arguments: its arguments.
        folder: its working folder.
        without: names of environment variables that it does not get.

    Returns:
        The exit status; -N if signal N ended the process.
    """
    process = SPAWN.Process(target=_run_module, args=(module, tuple(arguments), folder, tuple(without)))
    process.start()
    try:
        process.join()
    except BaseException:
        process.terminate()
        try:
            process.join()
        except BaseException:
            process.kill()
            process.join()
            raise
        raise
    assert process.exitcode is not None
    return process.exitcode
