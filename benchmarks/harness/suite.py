"""Finds the benchmarks: the modules of `benchmarks`, each of which is one."""

import importlib
import pkgutil
from collections.abc import Sequence

import benchmarks
from benchmarks.harness.definitions import Benchmark
from vgg_keras.utils import verb_list
from vgg_keras.utils.errors import UserError, did_you_mean


def names() -> list[str]:
    """Returns the names of all benchmarks in the order of the alphabet."""
    found = pkgutil.iter_modules(benchmarks.__path__)
    return sorted(module.name for module in found if not module.ispkg and not module.name.startswith("_"))


def choose(asked: Sequence[str]) -> list[str]:
    """Returns the names of the benchmarks that are asked for, each once, or all if none is.

    Raises:
        UserError: there is no benchmark of a name.
    """
    known = names()
    for name in asked:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise UserError(f"{name} is not a benchmark{hint}")
    return list(dict.fromkeys(asked)) or known


def summary(name: str) -> str:
    """Returns in one line what a benchmark measures, without importing it and TensorFlow with it."""
    return verb_list.summary(f"benchmarks.{name}")


def load(name: str) -> Benchmark:
    """Imports a benchmark."""
    return importlib.import_module(f"benchmarks.{name}").BENCHMARK


def listing() -> str:
    """Returns a text with a line for each benchmark: its name and what it measures."""
    width = max(map(len, names())) + 2
    return "\n".join(f"{name:<{width}}{summary(name)}" for name in names())
