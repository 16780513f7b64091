"""Starts processes that end with the process that started them, however it ends."""

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import connection, resource_tracker
from pathlib import Path

from vgg_keras.utils import early_signals, last_word, stopping

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
    """Runs a module as `python -m` does; the body of the process, which starts with the signals blocked."""
    last_word.leave_to_parent()
    # Of a group of its own: a terminal's Ctrl-C reaches the parent alone, which passes it on once.
    os.setpgid(0, 0)
    early_signals.take_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, early_signals.SIGNALS)
    end_with_parent()
    for name in without:
        os.environ.pop(name, None)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@contextlib.contextmanager
def _blocked_in_children() -> Iterator[None]:
    """Lets processes that are started inside the context start with the signals blocked, which then come later.

    A new process has no handlers yet: a Ctrl-C that came so early would end it with a traceback.
    """
    resource_tracker.ensure_running()  # or `multiprocessing` would start it here, and unblock the signals after that
    before = signal.pthread_sigmask(signal.SIG_BLOCK, early_signals.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_module(module: str, arguments: Sequence[str], folder: Path, without: Sequence[str] = ()) -> int:
    """Runs a module as `python -m` does, in a process of its own, and waits for its end.

    A request to stop (`stopping.Stopped`) is passed on as SIGTERM, and takes effect when the process has ended; a
    second one kills it. The process says nothing about that, nor about what the user may do next (`last_word`).

    Args:
        module: dotted name of the module.
        arguments: its arguments.
        folder: its working folder.
        without: names of environment variables that it does not get.

    Returns:
        The exit status; -N if signal N ended the process.
    """
    process = SPAWN.Process(target=_run_module, args=(module, tuple(arguments), folder, tuple(without)))
    try:
        # A request that is made meanwhile takes effect when there is a process to pass it on to.
        with stopping.held_back(""), _blocked_in_children():
            process.start()
        process.join()
    except BaseException:
        if process.pid is None:
            raise
        try:
            process.terminate()
            process.join()
        except BaseException:
            process.kill()
            process.join()
            raise
        raise
    assert process.exitcode is not None
    return process.exitcode
