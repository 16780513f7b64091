"""Tests how figures are measured: the order of the sides, the pairs, the load, with sides that take no time."""

import pytest

from benchmarks.harness import runner
from benchmarks.harness.definitions import Benchmark, Figure
from benchmarks.harness.load import Reading
from benchmarks.harness.runner import Pair, Plan, Row

BENCHMARK = Benchmark(ours="ours", peer="peer", warm_ups=1, prepare=None)


class Sides:
    """Makes sides that return given seconds and note in which order they are asked."""

    def __init__(self):
        self.asked, self.now = [], 0.0

    def clock(self):
        return self.now

    def side(self, name, *seconds):
        left = list(seconds)

        def work():
            self.asked.append(name)
            self.now += left[0]
            return left.pop(0)

        return work


def readings(*others):
    """Returns a function that reads CPU times: in each pair, 10 s on two cores, others use the given seconds of 20."""
    times = [Reading(0.0, 0.0, 0.0, 2)]
    for seconds in others:
        last = times[-1]
        times += [last, Reading(last.clock + 10, last.machine + 8 + seconds, last.own + 8, 2)]
    left = times[1:]
    return lambda: left.pop(0)


def test_interleaved_pairs():
    sides = Sides()
    figure = Figure(
        name="figure",
        ours=sides.side("ours", 9.0, 2.0, 4.0),
        peer=sides.side("peer", 9.0, 6.0, 10.0),
        ceiling=sides.side("ceiling", 9.0, 1.0, 2.0),
        details=lambda: "5 GB",
    )
    row = runner.measure("name", BENCHMARK, figure, Plan(pairs=2, min_seconds=1.0), readings(0.5, 3.0), sides.clock)
    # One warm-up each; then each side comes first as often as last.
    assert sides.asked == ["ours", "peer", "ceiling", "ours", "peer", "ceiling", "ceiling", "peer", "ours"]
    assert row.pairs == (Pair(2.0, 6.0, 1.0, 0.025), Pair(4.0, 10.0, 2.0, pytest.approx(0.15)))
    assert (row.ours, row.peer, row.details) == (3.0, 8.0, "5 GB")
    # The ratios are 3 and 2.5, those of the ceiling 6 and 5.
    assert (row.ratio.median, row.ratio.low, row.ratio.high, row.ceiling) == (2.75, 2.5, 3.0, 5.5)


def test_short_work_is_done_several_times_in_a_timing():
    sides = Sides()
    figure = Figure(name="", ours=sides.side("ours", 0.4, 1.0, 2.0, 6.0), peer=sides.side("peer", 2.0, 6.0))
    row = runner.measure("", BENCHMARK, figure, Plan(pairs=1, min_seconds=1.0), readings(0.0), sides.clock)
    # 1 s / 0.4 s: three times, whose mean counts.
    assert row.pairs == (Pair(3.0, 6.0, None, 0.0),)


def test_the_time_of_a_part_of_the_work_counts_for_no_calls():
    # Eight steps in 0.8 s, of which the side returns the time of one: two calls make a second.
    sides, asked = Sides(), []
    steps = sides.side("ours", *[0.8] * 3)
    figure = Figure(name="", ours=lambda: asked.append(1) or steps() / 8, peer=sides.side("peer", 1.0, 0.2))
    row = runner.measure("", BENCHMARK, figure, Plan(pairs=1, min_seconds=1.0), readings(0.0), sides.clock)
    assert len(asked) == 3
    assert row.pairs == (Pair(0.1, 0.2, None, 0.0),)


def test_the_quick_form_times_everything_once():
    sides = Sides()
    figure = Figure(name="", ours=sides.side("ours", 0.01), peer=sides.side("peer", 0.02), ceiling=4.0)
    row = runner.measure("", BENCHMARK, figure, runner.QUICK, readings(20.0))
    assert sides.asked == ["ours", "peer"]
    assert row.ceiling == 4.0
    assert (row.quotable, row.remark) == (False, "quick: not quotable")


def row(*others, quick=False):
    return Row("name", "figure", tuple(Pair(1.0, 2.0, None, share) for share in others), quick=quick)


@pytest.mark.parametrize(
    ("others", "quotable", "remark"),
    [
        ((0.0, 0.05), True, ""),
        ((0.0, 0.051, 0.37), False, "busy machine: not quotable (2 of 3 pairs, up to 37%)"),
        ((0.0, None), None, "load of other processes unknown"),
        ((0.2, None), False, "busy machine: not quotable (1 of 2 pairs, up to 20%)"),
    ],
)
def test_what_can_be_quoted(others, quotable, remark):
    found = row(*others)
    assert (found.quotable, found.remark) == (quotable, remark)


def test_six_pairs_are_enough_for_95_percent():
    found = Row("", "", tuple(Pair(1.0, 2.0, None, 0.0) for _ in range(runner.FULL.pairs)))
    assert found.ratio.coverage > 0.95
