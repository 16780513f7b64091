"""Defines what a benchmark module consists of."""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

# Does a piece of work once, and returns the seconds that it took, or seconds for a fixed part of it, such as a step.
Side = Callable[[], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What a benchmark is given.

    Attributes:
        quick: whether the short form is asked for: small nets, few photos.
        scratch: an empty folder for the benchmark's files, which is removed afterwards.
        data_dir: a data set of photos with the splits train and validation; "" for drawn photos.
        model: a trained model; "" for a net with random weights.
    """

    quick: bool
    scratch: Path
    data_dir: str = ""
    model: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """One ratio that a benchmark measures: a row of the table.

    Attributes:
        name: what is done, and on how much: "S = 256, 64 photos".
        ours: the work as the package does it.
        peer: the same work done otherwise.
        ceiling: what no way to do the work can beat: a part of the work that cannot be left out, or a known ratio of
            the peer's time to ours; None if nothing of the kind is known.
        details: function to what else was seen, which is called after the last timing; "" for nothing.
    """

    name: str
    ours: Side
    peer: Side
    ceiling: Side | float | None = None
    details: Callable[[], str] = str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark: who is compared with whom, and how the comparison is set up.

    Its name is that of its module, and what it measures is the first line of the module's docstring.

    Attributes:
        ours: what the package does, in words.
        peer: what it is compared with, in words.
        ceiling: what bounds the ratio, in words; "" if nothing is known.
        warm_ups: number of times that each side does its work before it is timed, in the whole form; 0 if the sides
            warm up by themselves.
        prepare: function from the settings to a context in which the figures can be measured.
    """

    ours: str
    peer: str
    ceiling: str = ""
    warm_ups: int = 1
    prepare: Callable[[Settings], AbstractContextManager[Sequence[Figure]]]
