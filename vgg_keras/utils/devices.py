"""Chooses the distribution strategy, the precision and the use of XLA that suit the machine."""

import ctypes
import os
import re
from pathlib import Path

import tensorflow as tf

from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.structures import TEXT, Maybe

# CPU flags of native bfloat16 multiplication; without it bfloat16 is emulated and slower than float32.
_BFLOAT16_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}
_TF_CONFIG = {"cluster": Maybe({"worker": Maybe([TEXT])})}

# Parameters of glibc's mallopt and their values: freed memory stays in the heap, large blocks are taken from the heap
# too, and all threads share one heap.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = (-1, -1), (-4, 0), (-8, 1)


def keep_freed_memory() -> None:
    """Makes glibc keep the memory of freed tensors for the next step; does nothing with another C library.

    Otherwise every tensor of more than 32 MB, such as the weight gradient of FC6, is requested from the kernel and
    returned to it in every step, and the kernel clears it page by page (measured by benchmarks/memory_reuse.py).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in (_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX):
            mallopt(parameter, value)


def split_cpu(num_devices: int) -> None:
    """Splits the CPU into several logical devices, to try data parallelism without GPUs.

    Call it before TensorFlow runs anything.

    Args:
        num_devices: number of logical devices; 1 changes nothing.

    Raises:
        UserError: TensorFlow has started already.
    """
    if num_devices == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices)
    except RuntimeError as error:
        raise UserError(
            f"--cpu_devices={num_devices} cannot be applied, since TensorFlow has started already: {error}"
        ) from error


def make_strategy(requested: str, *, one_process: bool = False) -> tuple[tf.distribute.Strategy, str]:
    """Returns the distribution strategy (arXiv:1409.1556, sect. 3.3) and the reason for the choice, as text.

    Args:
        requested: one of `hardware.STRATEGIES`; "auto" takes all workers if `TF_CONFIG` names several, else all GPUs
            (or logical CPUs, if there is no GPU) if there are several, else one device.
        one_process: whether the work can run in one process only.

    Raises:
        UserError: "multi_worker" is requested and `TF_CONFIG` names no worker, `TF_CONFIG` names several and
            `one_process` is true, or `TF_CONFIG` is malformed.
    """
    keep_freed_memory()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Otherwise TensorFlow takes all memory of the GPU at once, and leaves none to other processes.
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
        # Must come before logical devices are listed: that starts TensorFlow, which joins a cluster only at its start.
        return tf.distribute.MultiWorkerMirroredStrategy(), f"{len(workers)} workers in TF_CONFIG"
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if requested == "mirrored" or (requested == "auto" and len(devices) > 1):
        return tf.distribute.MirroredStrategy([device.name for device in devices]), f"{len(devices)} devices"
    return tf.distribute.OneDeviceStrategy(devices[0].name), f"one {devices[0].device_type}"


def _workers() -> list[str]:
    text = os.environ.get("TF_CONFIG") or "{}"
    config = side_files.parse_json(text, _TF_CONFIG, "the environment variable TF_CONFIG", "correct it, or unset it")
    return (config.get("cluster") or {}).get("worker") or []


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the chief, which writes files and reports."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (resolver.task_type == "worker" and resolver.task_id == 0)


def describe_machine() -> dict[str, str | int | list[str]]:
    """Describes what the bits of a result depend on: the processors, and the number of threads that share an op."""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "cpu": _cpu_info("model name"),
        "cores": cpu_count(),
        "threads_of_an_op": tf.config.threading.get_intra_op_parallelism_threads() or cpu_count(),
        "gpus": [str(gpu.get("device_name", "unknown")) for gpu in gpus],
    }


def _cpu_info(key: str) -> str:
    """Returns what Linux tells of the first CPU under a key, or "" elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    found = (
        re.search(rf"^{key}\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE) if cpuinfo.exists() else None
    )
    return found[1].strip() if found else ""


def choose_precision(requested: str) -> tuple[str, str]:
    """Returns the name of a Keras dtype policy and the reason for the choice, as text.

    Args:
        requested: one of `hardware.PRECISIONS`; "auto" takes mixed_bfloat16 if the hardware multiplies bfloat16
            natively, else float32.
    """
    if requested != "auto":
        return requested, "as asked"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        native = capability >= (8, 0)
        return "mixed_bfloat16" if native else "float32", f"GPU of compute capability {'.'.join(map(str, capability))}"
    found = sorted(_BFLOAT16_CPU_FLAGS & set(_cpu_info("flags").split()))
    return ("mixed_bfloat16", f"CPU with {found[0]}") if found else ("float32", "CPU without bfloat16 units")


def choose_jit(requested: str, strategy: tf.distribute.Strategy) -> bool:
    """Returns whether XLA compiles the gradients.

    Args:
        requested: "true", "false" or "auto": only on a single GPU (on CPUs the compiled step is several times slower).
        strategy: the devices.
    """
    if requested != "auto":
        return requested == "true"
    return bool(tf.config.list_physical_devices("GPU")) and strategy.num_replicas_in_sync == 1
