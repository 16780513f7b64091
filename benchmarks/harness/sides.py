"""Makes the sides of a comparison: work in processes of its own, so that neither side changes the other's process.

The package keeps freed memory, sets up devices and registers layers, all for the whole process; the other side should
not profit from it, and benchmarks that run one after the other should not either.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import importlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import vgg_keras
from benchmarks.harness.definitions import Side
from vgg_keras.utils import cli
from vgg_keras.utils.errors import UserError

# The folder that holds the packages that are measured.
CODE = Path(vgg_keras.__file__).resolve().parent.parent
_Result = TypeVar("_Result")


def timed(work: Callable[[], object]) -> Side:
    """Returns the side that calls a function and returns the seconds that the call took."""

    def seconds() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return seconds


def run(arguments: Sequence[str], status: int = 0) -> str:
    """Runs this Python with some arguments in a process of its own, and returns what it prints on stdout.

    Args:
        arguments: arguments of the interpreter, such as ("-m", "vgg_keras.train", "--help").
        status: the exit status that is expected.

    Raises:
        UserError: the process ends with another status.
    """
    path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != status:
        said = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"python {' '.join(arguments)} ended with {ended.returncode} instead of {status}: {said}")
    return ended.stdout


def command(*arguments: str, status: int = 0) -> Side:
    """Returns the side that runs this Python, as `run` does, and returns the seconds from its start to its end."""
    return timed(lambda: run(arguments, status))


def apart(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Calls a function in a process of its own, which ends then, and returns the result; its errors are passed on.

    Args:
        function: a function of a module.
        arguments: its arguments, which can be pickled, as the result can.

    Raises:
        UserError: the process was ended.
    """
    with _process() as pool:
        return _result(pool.submit(function, *arguments))


@contextlib.contextmanager
def in_process(
    make: Callable[..., Mapping[str, Callable[[], Any]]], *arguments: Any, tensorflow: bool = True
) -> Iterator[dict[str, Any]]:
    """Starts a process that prepares some work and then does it as often as it is asked to.

    Args:
        make: function of a module that returns functions without arguments, such as sides, by their names; it is called
            in the new process.
        arguments: its arguments, which can be pickled.
        tensorflow: whether the process imports TensorFlow, beside which PyTorch cannot always be imported.

    Yields:
        Functions of the same names, each of which calls its namesake there and returns its result.

    Raises:
        UserError: the process was ended.
    """
    with _process(tensorflow) as pool:
        names = _result(pool.submit(_prepare, make, arguments))
        yield {name: _remote(pool, name) for name in names}


def _process(tensorflow: bool = True) -> concurrent.futures.ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(1, spawn, initializer=_load_tensorflow if tensorflow else None)


def _load_tensorflow() -> None:
    """Imports TensorFlow without the notes that it writes as it is loaded."""
    with cli.loading_libraries():
        importlib.import_module("tensorflow")


def _remote(pool: concurrent.futures.Executor, name: str) -> Callable[[], Any]:
    return lambda: _result(pool.submit(_call, name))


def _result(future: concurrent.futures.Future) -> Any:
    try:
        return future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a process of the benchmark was ended by the system, perhaps for want of memory; see what it wrote above"
        ) from None


# The functions of the process in which `_prepare` was called.
_prepared: dict[str, Callable[[], Any]] = {}


def _prepare(make: Callable[..., Mapping[str, Callable[[], Any]]], arguments: Sequence[Any]) -> list[str]:
    _prepared.update(make(*arguments))
    return list(_prepared)


def _call(name: str) -> Any:
    return _prepared[name]()
