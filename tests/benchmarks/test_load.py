"""Tests the measurement of other processes' CPU time: on a /proc made by hand, and beside a real busy process."""

import os
import subprocess
import sys

import pytest

from benchmarks.harness import load
from benchmarks.harness.load import Reading
from tests.helpers.busy import busy_outside

TICK = 1 / os.sysconf("SC_CLK_TCK")


def write_stat(proc, number, parent, times, name="python"):
    """Writes /proc/NUMBER/stat of a process with (utime, stime, cutime, cstime) in ticks."""
    (proc / str(number)).mkdir()
    columns = ["S", str(parent), *["0"] * 9, *map(str, times), "20", "0"]
    (proc / str(number) / "stat").write_text(f"{number} ({name}) {' '.join(columns)}\n")


@pytest.fixture
def proc(tmp_path):
    """Makes a /proc of two cores, on which a tree of three processes runs beside two others."""
    (tmp_path / "stat").write_text(
        "cpu  100 20 30 4000 50 6 7 8 900 90\ncpu0 60 10 15 2000 25 3 4 4 450 45\ncpu1 40 10 15 2000 25 3 3 4 450 45\n"
        "intr 12 3\n"
    )
    write_stat(tmp_path, 10, 1, (1, 2, 3, 4))
    write_stat(tmp_path, 11, 10, (10, 0, 0, 0), name="a) b (c")
    write_stat(tmp_path, 12, 11, (20, 5, 0, 5))
    write_stat(tmp_path, 13, 1, (500, 0, 0, 0))
    write_stat(tmp_path, 14, 13, (500, 0, 0, 0))
    (tmp_path / "15").mkdir()  # a process that ends while it is looked at
    return tmp_path


def test_what_is_read(proc):
    found = load.read(10, proc)
    # user + nice + system + irq + softirq + steal, without idle, iowait and guests: 100 + 20 + 30 + 6 + 7 + 8.
    assert found.machine == pytest.approx(171 * TICK)
    assert found.own == pytest.approx((1 + 2 + 3 + 4 + 10 + 20 + 5 + 5) * TICK)
    assert found.cores == 2


def test_the_share_of_the_others():
    before = Reading(clock=100.0, machine=1000.0, own=50.0, cores=4)
    # In 10 s four cores have 40 s; all used 25 s, of which 17 are our own.
    assert load.others_share(before, Reading(110.0, 1025.0, 67.0, 4)) == pytest.approx(8 / 40)
    # Counted in ticks, ours may seem to be a little more than all.
    assert load.others_share(before, Reading(110.0, 1025.0, 75.1, 4)) == 0


@pytest.mark.parametrize("text", ["", "cpu  1 2 3\n", "cpu  a b c d e f g h\n"])
def test_what_the_system_does_not_tell(text, proc):
    (proc / "stat").write_text(text)
    assert load.read(10, proc).machine is None
    (proc / "stat").unlink()
    found = load.read(10, proc)
    assert found.machine is None
    assert load.others_share(found, found) is None


def test_a_machine_that_tells_of_less_than_we_used_is_unknown():
    # As in a sandbox, whose /proc/stat stands still.
    assert load.others_share(Reading(0.0, 0.0, 0.0, 2), Reading(10.0, 0.0, 5.0, 2)) is None


def test_a_system_without_proc(tmp_path):
    assert load.read(proc=tmp_path / "missing").machine is None


needs_proc = pytest.mark.skipif(load.read().machine is None, reason="this system has no /proc/stat")


@needs_proc
@pytest.mark.multiprocess
def test_a_busy_process_of_others_counts():
    before = load.read()
    with busy_outside() as cpu_seconds:
        used = cpu_seconds(at_least=0.5)
        after = load.read()
    others = load.others_share(before, after) * (after.clock - before.clock) * after.cores
    # What the busy process itself reports, up to ticks that are counted at different moments.
    assert others >= used - 0.1


@needs_proc
@pytest.mark.multiprocess
def test_busy_processes_of_our_own_do_not_count():
    # 0.3 s of CPU time, in a child of a child that has ended.
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], check=True)"
    before = load.read()
    subprocess.run([sys.executable, "-c", nested], check=True)
    after = load.read()
    assert after.own - before.own >= 0.3 - 2 * TICK
