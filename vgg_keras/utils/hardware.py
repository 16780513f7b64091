"""Names the choices of devices and precisions, counts CPU cores and memory; imports no TensorFlow."""

import os
from pathlib import Path

from vgg_keras.utils.arithmetic import parse_whole

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
# Those of the verbs that run in one process.
LOCAL_STRATEGIES = ("auto", "one_device", "mirrored")
# Dtypes in which the gradients of several devices travel.
ALL_REDUCES = ("float32", "bfloat16")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
# Files with the limits that containers are given, of the two versions of Linux's control groups.
_MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def strategy_of_machine(requested: str) -> str:
    """Returns the strategy for the devices of one machine, of workers each of which computes without the others.

    Args:
        requested: one of STRATEGIES.
    """
    return "auto" if requested == "multi_worker" else requested


def cpu_count() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Returns the memory that this process may use, in bytes: the machine's, or less in a container with a limit."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, _MEMORY_LIMITS):
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        sizes += filter(None, [parse_whole(text)])  # "max": no limit
    return min(sizes)
