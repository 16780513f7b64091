"""Measures figures: warms both sides up, times them in interleaved pairs, and watches what else the machine does."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable

from benchmarks.harness import load
from benchmarks.harness.definitions import Benchmark, Figure, Side
from benchmarks.harness.ratios import Ratio, median_ratio


@dataclasses.dataclass(frozen=True)
class Plan:
    """How often and how long the sides are timed.

    Attributes:
        pairs: number of pairs.
        min_seconds: a timing lasts at least as long: shorter work is done several times in it.
        quick: whether nothing is to be said of times: the sides are not warmed up, and no load is judged.
    """

    pairs: int
    min_seconds: float
    quick: bool = False


# Six pairs are the fewest whose smallest and largest ratio enclose the median with a probability of 95%. The load of
# other processes is counted in ticks of 10 ms, which are few in less than a second.
FULL = Plan(pairs=6, min_seconds=1.0)
QUICK = Plan(pairs=1, min_seconds=0.0, quick=True)


@dataclasses.dataclass(frozen=True)
class Pair:
    """The times of one pair, in seconds for each time that the work was done.

    Attributes:
        ours: time of the package.
        peer: time of the other way.
        ceiling: time of what bounds both, or None if nothing was timed.
        others: share of the machine's CPU time that other processes used meanwhile, 0..1, or None if it is unknown.
    """

    ours: float
    peer: float
    ceiling: float | None
    others: float | None


@dataclasses.dataclass(frozen=True)
class Row:
    """What was measured of a figure.

    Attributes:
        benchmark: name of the benchmark.
        figure: name of the figure.
        pairs: the pairs, at least one.
        known_ceiling: a ceiling of the ratio that needs no timing, or None.
        details: what else was seen, or "".
        quick: whether it was measured in the short form.
    """

    benchmark: str
    figure: str
    pairs: tuple[Pair, ...]
    known_ceiling: float | None = None
    details: str = ""
    quick: bool = False

    @property
    def ours(self) -> float:
        """Median time of the package in seconds."""
        return statistics.median(pair.ours for pair in self.pairs)

    @property
    def peer(self) -> float:
        """Median time of the other way in seconds."""
        return statistics.median(pair.peer for pair in self.pairs)

    @property
    def ratio(self) -> Ratio:
        """How many times as fast as the peer the package is."""
        return median_ratio([pair.peer / pair.ours for pair in self.pairs])

    @property
    def ceiling(self) -> float | None:
        """The largest ratio that could be reached, as far as it is known."""
        timed = [pair.peer / pair.ceiling for pair in self.pairs if pair.ceiling is not None]
        return statistics.median(timed) if timed else self.known_ceiling

    @property
    def busy_pairs(self) -> list[float]:
        """The shares of the machine that others used, of the pairs in which they used more than is allowed."""
        return [pair.others for pair in self.pairs if pair.others is not None and pair.others > load.BUSY_SHARE]

    @property
    def quotable(self) -> bool | None:
        """Whether the ratio can be quoted: measured in the whole form on a quiet machine; None if that is unknown."""
        if self.quick or self.busy_pairs:
            return False
        return None if any(pair.others is None for pair in self.pairs) else True

    @property
    def remark(self) -> str:
        """Why the ratio cannot be quoted, or not without doubt; "" if it can."""
        if self.quick:
            return "quick: not quotable"
        if self.busy_pairs:
            most = max(self.busy_pairs)
            return f"busy machine: not quotable ({len(self.busy_pairs)} of {len(self.pairs)} pairs, up to {most:.0%})"
        return "" if self.quotable else "load of other processes unknown"


def measure(
    name: str,
    benchmark: Benchmark,
    figure: Figure,
    plan: Plan,
    read: Callable[[], load.Reading] = load.read,
    clock: Callable[[], float] = time.perf_counter,
) -> Row:
    """Measures one figure.

    Args:
        name: name of the benchmark.
        benchmark: the benchmark.
        figure: the figure.
        plan: how often and how long the sides are timed.
        read: function that reads the CPU times.
        clock: function that returns the seconds of a clock.
    """
    sides: dict[str, Side] = {"ours": figure.ours, "peer": figure.peer}
    if callable(figure.ceiling):
        sides["ceiling"] = figure.ceiling
    calls = {side: calls_per_timing(work, benchmark.warm_ups, plan, clock) for side, work in sides.items()}
    pairs = []
    for number in range(plan.pairs):
        # Each side comes first as often as last, so that a machine that slows down or speeds up favours neither.
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        before = read()
        seconds = {side: mean_seconds(sides[side], calls[side]) for side in order}
        pairs.append(Pair(seconds["ours"], seconds["peer"], seconds.get("ceiling"), load.others_share(before, read())))
    known = None if callable(figure.ceiling) else figure.ceiling
    return Row(name, figure.name, tuple(pairs), known, figure.details(), plan.quick)


def calls_per_timing(work: Side, warm_ups: int, plan: Plan, clock: Callable[[], float]) -> int:
    """Warms a side up, and returns how often it does its work in a timing: once if it is not warmed up."""
    if plan.quick or not warm_ups:
        return 1
    for _ in range(warm_ups):
        started = clock()
        work()  # what it returns may be the time of a part of the work
    return max(1, math.ceil(plan.min_seconds / max(clock() - started, 1e-6)))


def mean_seconds(work: Side, calls: int) -> float:
    """Returns the mean of the seconds that a side needs for its work, done several times in a row."""
    return sum(work() for _ in range(calls)) / calls
