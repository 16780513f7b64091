"""Keeps a core busy from outside the test's tree of processes, as another user of the machine does."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# A process whose parent has ended belongs to the first process of the system.
_START = "{python} -c 'while True: pass' >/dev/null 2>&1 & echo $!"


def used_seconds(process_id: int) -> float:
    """Returns the CPU seconds that a process has used."""
    words = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def busy_outside() -> Iterator:
    """Runs a busy process that is no descendant of this one.

    Yields:
        A function that waits until the process has used `at_least` CPU seconds, and returns how many it has used.
    """
    started = subprocess.run(
        ["sh", "-c", _START.format(python=sys.executable)], capture_output=True, text=True, check=True
    )
    process_id = int(started.stdout)

    def cpu_seconds(at_least: float) -> float:
        deadline = time.monotonic() + 120
        while (used := used_seconds(process_id)) < at_least:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return used

    try:
        yield cpu_seconds
    finally:
        os.kill(process_id, signal.SIGKILL)
