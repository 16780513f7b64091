"""Names the choices of devices and precisions, and counts the CPU cores; imports no TensorFlow."""

import os

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
# Those of the verbs that run in one process.
LOCAL_STRATEGIES = ("auto", "one_device", "mirrored")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


def cpu_count() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
