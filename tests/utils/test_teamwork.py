"""Tests that workers fill an array together: how it is dealt, what each computes, and what a lost worker leaves."""

import threading

import numpy as np
import pytest

from tests.helpers.workers import make_clusters, run_workers
from vgg_keras.utils import console, shared_folder, teamwork
from vgg_keras.utils.errors import LostWorkerError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.teamwork import Team
from vgg_keras.utils.work_items import Items


def values(index):
    return np.array([index, 10 * index], np.float32)


def test_an_item_that_lacks_a_row_is_computed_with_its_group():
    items = Items.of_rows(
        "boxes",
        5,
        groups=np.array([7, 3, 7, 3, 9]),
        wanted=np.array([True, True, True, False, True]),
        ends=np.array([2, 3, 3, 6, 8]),
    )
    assert items.num_rows == 8
    # Row 1 is of item 0, of group 7; row 4 is of item 3, which is not wanted.
    pending = np.isin(np.arange(8), [1, 4])
    assert items.missing(pending).tolist() == [True, False, True, False, False]
    assert not items.missing(np.zeros(8, bool)).any()


def test_groups_are_dealt_whole_with_about_equal_work():
    # The work of the groups: 0: 6, 1: 1, 2: 5, 3: 4; in turn, the largest first: 0 and 3 to one worker, 2 and 1.
    items = Items.of_rows("x", 6, groups=np.array([0, 0, 1, 2, 3, 2]), weights=np.array([3, 3, 1, 4, 4, 1.0]))
    first, second = items.dealt(np.ones(6, bool), 2)
    assert first.tolist() == [True, True, False, False, True, False]
    assert second.tolist() == [False, False, True, True, False, True]
    # Of what is there already, nothing is dealt: 2 and 3 are left, one to each.
    missing = np.array([False, False, False, True, True, True])
    first, second = items.dealt(missing, 2)
    assert (first.tolist(), second.tolist()) == ([False] * 3 + [True, False, True], [False] * 4 + [True, False])
    parts = items.dealt(np.ones(6, bool), 5)  # more workers than groups
    assert np.sum(parts, axis=0).tolist() == [1] * 6
    assert not parts[4].any()


def fill(channel, folder, computed, *, items=None, stop_after=None, act=lambda: None):
    """Fills an array of 10 rows on one worker; what it computes goes into a list."""

    def compute(outputs, wanted, advance):
        for index in np.flatnonzero(wanted).tolist():
            if len(computed) == stop_after:
                act()
            computed.append(index)
            outputs.store(index, values(index))
            advance()

    team = Team(channel)
    array = team.fill(folder / "rows.npy", 2, items or Items.of_rows("rows", 10), compute)
    return array.values().tolist(), team.summary()


def test_the_workers_compute_each_row_once_and_all_see_the_whole(tmp_path):
    computed = [[], [], []]
    bodies = [lambda channel, one=one: fill(channel, tmp_path, one) for one in computed]
    clusters = make_clusters(3)
    results = run_workers(clusters, bodies)
    expected = [values(index).tolist() for index in range(10)]
    assert [result[0] for result in results] == [expected] * 3
    assert computed == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    names = [str(task) for task in clusters[0].tasks]
    told = "; ".join(f"{name}: {count} photos in 0 s" for name, count in zip(names, (4, 3, 3), strict=True))
    assert results[0][1].endswith(f"over 3 workers, a photo counted once a scale, method and model: {told}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.crc", "rows.json", "rows.npy"]
    # Again: nothing is left to do, by as many workers or by one.
    computed = [[], []]
    run_workers(make_clusters(2), [lambda channel, one=one: fill(channel, tmp_path, one) for one in computed])
    assert computed == [[], []]
    assert fill(None, tmp_path, []) == (expected, "")


def test_what_a_lost_worker_has_computed_is_not_computed_again(tmp_path):
    clusters, computed = make_clusters(2), [[], []]

    def vanish():
        raise KeyboardInterrupt

    bodies = [
        lambda channel: fill(channel, tmp_path, computed[0]),
        lambda channel: fill(channel, tmp_path, computed[1], stop_after=2, act=vanish),
    ]
    chief, _ = run_workers(clusters, bodies)
    assert isinstance(chief, LostWorkerError)
    assert str(chief) == f"{clusters[0].tasks[1]} was interrupted; start all workers again, with --resume"
    assert computed == [[0, 2, 4, 6, 8], [1, 3]]
    # Three workers go on with what is left: 5, 7, 9.
    computed = [[], [], []]
    results = run_workers(make_clusters(3), [lambda channel, one=one: fill(channel, tmp_path, one) for one in computed])
    assert computed == [[5], [7], [9]]
    assert [result[0] for result in results] == [[values(index).tolist() for index in range(10)]] * 3


def test_a_worker_notices_in_the_midst_of_its_part_that_another_has_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(teamwork, "_TELL_INTERVAL", 0.0)
    clusters, computed, stopped = make_clusters(2), [[], []], threading.Event()

    def fail():
        raise ValueError("the disk is on fire")

    def wait_for_the_other():
        stopped.wait(30)
        while not failures:
            failures.extend(filter(None, [channels[0].verdict(0.1)]))

    channels, failures = [], []

    def chief(channel):
        channels.append(channel)
        fill(channel, tmp_path, computed[0], stop_after=1, act=wait_for_the_other)

    def other(channel):
        try:
            fill(channel, tmp_path, computed[1], stop_after=1, act=fail)
        finally:
            stopped.set()

    error, _ = run_workers(clusters, [chief, other])
    assert str(error) == f"{clusters[0].tasks[1]}: ValueError: the disk is on fire"
    assert len(computed[0]) == 2  # the row in work is stored, and no other one begun
    assert np.isfinite(ResumableArray(tmp_path / "rows.npy", 10, 2).values()[:, 0]).tolist()[:3] == [True, False, True]


def test_the_chief_tells_for_whom_it_waits_and_how_far_that_one_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(teamwork, "_TELL_INTERVAL", 0.0)
    monkeypatch.setattr("vgg_keras.utils.channel._POLL_INTERVAL", 0.05)
    clusters, told = make_clusters(2), threading.Event()
    line = f"waiting for {clusters[0].tasks[1]}: 3 of 5 photos"
    say = console.say
    monkeypatch.setattr(console, "say", lambda text: say(text) or (told.set() if text == line else None))
    monkeypatch.setattr(teamwork, "_WAIT_INTERVAL", 0.0)

    bodies = [
        lambda channel: fill(channel, tmp_path, []),
        lambda channel: fill(channel, tmp_path, [], stop_after=3, act=lambda: told.wait(30)),
    ]
    results = run_workers(clusters, bodies)
    assert told.is_set()
    assert results[0][0] == results[1][0]


def test_rows_that_do_not_come_over_the_file_system_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_folder, "FILE_SYSTEM_DELAY", 0.1)
    (tmp_path / "b").mkdir()
    clusters = make_clusters(2)
    bodies = [lambda channel, name=name: fill(channel, tmp_path / name, []) for name in ("a", "b")]
    errors = [str(error) for error in run_workers(clusters, bodies)]
    assert errors[0] == errors[1]
    assert errors[0].startswith(f"{tmp_path}/a/rows.part-1-")
    assert f"does not hold here what {clusters[0].tasks[1]} has computed; --output_dir must be on a file" in errors[0]


@pytest.mark.parametrize("seconds", [(3.0, 2.0), (1.0, 4.0)])
def test_the_seconds_of_an_array_are_those_of_the_slowest_worker(tmp_path, seconds):
    own, other = (ResumableArray(tmp_path / f"{name}.npy", 4, 2) for name in ("own", "other"))
    own.store(0, values(0))
    own.seconds, other.seconds = 10.0 + seconds[0], seconds[1]
    other.store(0, values(5))
    other.store(3, values(3))
    own.absorb(other, seconds_before=10.0)
    assert own.pending().tolist() == [False, True, True, False]
    assert own.values()[[0, 3]].tolist() == [[0, 0], [3, 30]]  # its own row stays
    assert own.seconds == pytest.approx(10 + max(seconds), abs=0.1)


def test_the_progress_of_files_of_one_name_is_told_apart(tmp_path, monkeypatch):
    def compute(outputs, wanted, advance):
        for index in np.flatnonzero(wanted).tolist():
            outputs.store(index, values(index))
            advance()

    team, told = Team(), []
    monkeypatch.setattr(team.channel, "tell_progress", lambda work, done: told.append((work, done)))
    for folder in ("main", "compared"):
        (tmp_path / folder).mkdir()
        team.fill(tmp_path / folder / "rows.npy", 2, Items.of_rows("rows", 2), compute)
    assert told == [("1: rows.npy", 1), ("1: rows.npy", 2), ("2: rows.npy", 1), ("2: rows.npy", 2)]
