"""What the machine offers: the strategy that spreads the work, and the precision that suits the hardware."""

import ctypes
import json
import os
import re
from pathlib import Path

import tensorflow as tf

from vgg_keras.utils.cli import UserError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
# CPU flags of units that multiply bfloat16 natively; without them bfloat16 is emulated and slower than float32.
_BFLOAT16_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}

# Parameters of glibc's mallopt, with values: freed memory stays in the heap, large blocks come from there as well, and
# all threads share one heap.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = (-1, -1), (-4, 0), (-8, 1)


def keep_freed_memory() -> None:
    """Lets the C library keep the memory of freed tensors for the next step, where it is glibc.

    Otherwise every tensor of more than 32 MB, such as those of FC6, comes from the kernel and goes back to it in every
    step, and the kernel clears it page by page (measured by benchmarks/memory_reuse.py).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in (_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX):
            mallopt(parameter, value)


def split_cpu(num_devices: int) -> None:
    """Presents the CPU as several devices, to try data parallelism without GPUs; call before TensorFlow runs anything.

    Args:
        num_devices: number of devices; 1 changes nothing.

    Raises:
        UserError: TensorFlow has started already.
    """
    if num_devices == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices)
    except RuntimeError as error:
        raise UserError(f"--cpu_devices={num_devices} comes too late: {error}") from error


def make_strategy(requested: str, *, one_process: bool = False) -> tuple[tf.distribute.Strategy, str]:
    """Returns the distribution strategy (arXiv:1409.1556, sect. 3.3) and why it was chosen.

    Args:
        requested: one of `STRATEGIES`; "auto" takes several workers where `TF_CONFIG` names them, all GPUs where there
            are several, and else one device.
        one_process: whether the work is for one process alone.

    Raises:
        UserError: several workers were asked for and `TF_CONFIG` names none, or it names several for what one does.
    """
    keep_freed_memory()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Otherwise the first process takes all memory of the GPU.
        tf.config.experimental.set_memory_growth(gpu, True)
    workers = _workers()
    if one_process and len(workers) > 1:
        raise UserError(f"TF_CONFIG names {len(workers)} workers, and this runs in one process: unset TF_CONFIG")
    if requested == "multi_worker" or (requested == "auto" and len(workers) > 1):
        if not workers:
            raise UserError(
                "--strategy=multi_worker needs the environment variable TF_CONFIG: "
                '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
            )
        # Before anything asks for logical devices: that would start TensorFlow, and a cluster is joined at the start.
        return tf.distribute.MultiWorkerMirroredStrategy(), f"{len(workers)} workers in TF_CONFIG"
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if requested == "mirrored" or (requested == "auto" and len(devices) > 1):
        return tf.distribute.MirroredStrategy([device.name for device in devices]), f"{len(devices)} devices"
    return tf.distribute.OneDeviceStrategy(devices[0].name), f"one {devices[0].device_type}"


def _workers() -> list[str]:
    try:
        return json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker", [])
    except (ValueError, AttributeError) as error:
        raise UserError(f"TF_CONFIG is not the JSON of a cluster: {os.environ['TF_CONFIG']!r}") from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the one that writes files and speaks."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (resolver.task_type == "worker" and resolver.task_id == 0)


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return set(found[1].split()) if found else set()


def choose_precision(requested: str) -> tuple[str, str]:
    """Returns a Keras dtype policy's name and why it was chosen.

    Args:
        requested: one of `PRECISIONS`; "auto" takes mixed_bfloat16 where the hardware multiplies it natively.
    """
    if requested != "auto":
        return requested, "as asked"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        native = capability >= (8, 0)
        return "mixed_bfloat16" if native else "float32", f"GPU of compute capability {'.'.join(map(str, capability))}"
    found = sorted(_BFLOAT16_CPU_FLAGS & _cpu_flags())
    return ("mixed_bfloat16", f"CPU with {found[0]}") if found else ("float32", "CPU without bfloat16 units")


def choose_jit(requested: str, strategy: tf.distribute.Strategy) -> bool:
    """Returns whether XLA compiles the gradients; "auto" says yes on GPUs (on CPUs it is several times slower)."""
    if requested != "auto":
        return requested == "true"
    return bool(tf.config.list_physical_devices("GPU")) and strategy.num_replicas_in_sync == 1
