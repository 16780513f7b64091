"""Measures how much of the machine's CPU time other processes used meanwhile, from Linux's /proc."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

PROC = Path("/proc")
# Above this share of the machine's CPU time, others disturb a measurement.
BUSY_SHARE = 0.05
# Seconds by which the two counts may differ in a short time: each is made of ticks, usually of 10 ms.
_SLACK = 0.1
# The columns of the line "cpu" of /proc/stat in which CPU time was used, by anyone: user, nice, system, irq, softirq
# and steal. The time of guests is part of user and nice.
_USED_COLUMNS = (0, 1, 2, 5, 6, 7)
# The columns of /proc/PID/stat behind the name: the parent, and the time of the process and of the children that it
# waited for: utime, stime, cutime, cstime.
_PARENT, _TIMES = 1, slice(11, 15)


@dataclasses.dataclass(frozen=True)
class Reading:
    """CPU times at one moment.

    Attributes:
        clock: seconds of a clock that only runs forwards.
        machine: seconds that all processes have used on all cores together, or None if the system does not tell.
        own: seconds that a process and all its descendants, running or ended, have used.
        cores: number of cores of the machine.
    """

    clock: float
    machine: float | None
    own: float
    cores: int


def read(root: int | None = None, proc: Path = PROC) -> Reading:
    """Reads the CPU times of the machine and of a tree of processes.

    Args:
        root: number of the process at the root of the tree; None: this process.
        proc: folder in which the system shows its processes.
    """
    tick = 1 / os.sysconf("SC_CLK_TCK")
    machine, cores = _machine_ticks(proc)
    own = _tree_ticks(os.getpid() if root is None else root, proc)
    return Reading(time.monotonic(), None if machine is None else machine * tick, own * tick, cores)


def others_share(before: Reading, after: Reading) -> float | None:
    """Returns the share of the machine's CPU time, 0..1, that other processes used between two readings, or None.

    None means that it is unknown: the system does not tell, or tells of less than this tree of processes used, as in a
    sandbox with a /proc of its own.
    """
    available = (after.clock - before.clock) * max(after.cores, 1)
    if before.machine is None or after.machine is None or available <= 0:
        return None
    machine, own = after.machine - before.machine, after.own - before.own
    if own > 2 * machine + _SLACK:
        return None
    return max(0.0, machine - own) / available


def _machine_ticks(proc: Path) -> tuple[int | None, int]:
    """Returns the ticks of CPU time that were used, or None if it is unknown, and the number of cores."""
    try:
        lines = (proc / "stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None, 0
    cores = [line.split() for line in lines if line.startswith("cpu")]
    total = next((words[1:] for words in cores if words[0] == "cpu"), [])
    try:
        return sum(int(total[column]) for column in _USED_COLUMNS), len(cores) - 1
    except (IndexError, ValueError):
        return None, 0


def _tree_ticks(root: int, proc: Path) -> int:
    """Returns the ticks of a process and its descendants; one that ended counts in the process that waited for it."""
    parents, ticks = {}, {}
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
            # The name stands in brackets, and may hold brackets and blanks.
            words = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            number = int(folder.name)
            parents[number], ticks[number] = int(words[_PARENT]), sum(map(int, words[_TIMES]))
    tree, added = {root}, {root}
    while added:
        added = {number for number, parent in parents.items() if parent in added} - tree
        tree |= added
    return sum(ticks.get(number, 0) for number in tree)
