"""Tests the worker processes: results, errors, deaths, and that none outlives the process that leads it."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from data_prep.workers import Pool
from tests.helpers.paths import ROOT
from tests.helpers.processes import wait_for_end
from tests.helpers.worker_tasks import die, double, fail, leave, variable, wait_for_ever
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.multiprocess


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_task_is_done_once_and_progress_adds_up(num_workers):
    progress = []
    with Pool(double, num_workers) as pool:
        first = list(pool.run(iter(range(1, 20)), progress.append))
        second = list(pool.run([100], progress.append))
        assert list(pool.run([], progress.append)) == []
    assert sorted(result for result, _ in first) == list(range(2, 40, 2))
    assert [result for result, _ in second] == [200]
    assert sum(progress) == sum(range(1, 20)) + 100
    processes = {process for _, process in first + second}
    assert (processes == {os.getpid()}) == (num_workers == 1)


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("2", "2")])
def test_each_process_computes_in_one_thread_unless_the_user_says_so(monkeypatch, chosen, expected):
    name = "OPENBLAS_NUM_THREADS"
    monkeypatch.setenv(name, chosen) if chosen else monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with Pool(variable, 2) as pool:
        assert list(pool.run([name], lambda more: None)) == [expected]
    assert os.environ == before


@pytest.mark.parametrize("error", [UserError("the text"), FileNotFoundError(2, "No such file", "photo.jpg")])
def test_errors_arrive_as_they_are(error):
    with Pool(functools.partial(fail, error), 2) as pool, pytest.raises(type(error)) as caught:
        list(pool.run([1, 2, 3], lambda more: None))
    assert str(caught.value) == str(error)
    assert "in fail" in str(caught.value.__cause__)  # the traceback in the worker


def test_an_error_that_cannot_be_sent_arrives_as_text():
    with (
        Pool(functools.partial(fail, RuntimeError(lambda: None)), 2) as pool,
        pytest.raises(Exception, match="lambda"),
    ):
        list(pool.run([1], lambda more: None))


def test_a_killed_worker_is_one_line():
    with (
        Pool(functools.partial(die, signal.SIGKILL), 2) as pool,
        pytest.raises(UserError, match=r"killed, most likely .* for want of memory; .* --num_workers=N$"),
    ):
        list(pool.run([1], lambda more: None))


def test_a_worker_that_is_killed_between_two_tasks_is_one_line():
    with Pool(double, 2) as pool:
        assert len(list(pool.run([1, 2, 3, 4], lambda more: None))) == 4
        for worker in pool._workers.values():
            worker.process.kill()
            worker.process.join()
        with pytest.raises(UserError, match="killed, most likely"):
            list(pool.run([1, 2], lambda more: None))


def test_a_worker_that_ends_by_itself_is_one_line():
    with Pool(leave, 2) as pool, pytest.raises(UserError, match=r"has ended by itself \(exit status 3\); run the same"):
        list(pool.run([1], lambda more: None))


def test_an_error_ends_the_workers_in_the_middle_of_their_tasks(tmp_path):
    def interrupt(more):
        raise ZeroDivisionError

    with Pool(wait_for_ever, 2) as pool:
        with pytest.raises(ZeroDivisionError):
            list(pool.run([tmp_path] * 2, interrupt))
        processes = [worker.process for worker in pool._workers.values()]
        assert all(process.is_alive() for process in processes)
    assert not any(process.is_alive() for process in processes)


# Leads workers, each of which tells its process number by a file.
_LEADER = """
    import sys
    from pathlib import Path
    from data_prep.workers import Pool
    from tests.helpers.worker_tasks import wait_for_ever

    if __name__ == "__main__":
        with Pool(wait_for_ever, 3) as pool:
            list(pool.run([Path(sys.argv[1])] * 3, lambda more: None))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_leading_process(tmp_path, how):
    script = tmp_path / "lead.py"
    script.write_text(textwrap.dedent(_LEADER))
    (tmp_path / "processes").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    leader = subprocess.Popen([sys.executable, script, tmp_path / "processes"], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(workers := list((tmp_path / "processes").iterdir())) < 3:
        assert leader.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leader.send_signal(how)
    leader.communicate(timeout=60)
    for worker in workers:
        wait_for_end(int(worker.name))


def test_an_interrupt_from_the_terminal_is_left_to_the_leading_process(tmp_path):
    """The terminal sends it to all processes at once, also to those that are still starting."""
    script = tmp_path / "lead.py"
    script.write_text(textwrap.dedent(_LEADER))
    (tmp_path / "processes").mkdir()
    leader = subprocess.Popen(
        [sys.executable, script, tmp_path / "processes"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "processes").iterdir()):  # the first has started, the others perhaps not
        assert leader.poll() is None
        time.sleep(0.001)
    os.killpg(leader.pid, signal.SIGINT)
    stderr = leader.communicate(timeout=60)[1]
    assert stderr.count("Traceback") == 1  # that of the leading process
    assert stderr.rstrip().endswith("KeyboardInterrupt")
