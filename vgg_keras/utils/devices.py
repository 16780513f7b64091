"""Chooses the distribution strategy, the precision and the use of XLA that suit the machine."""

import contextlib
import ctypes
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.python.eager import context  # has no public name for the settings of a cluster

from vgg_keras.utils.channel import Channel
from vgg_keras.utils.cluster import Cluster
from vgg_keras.utils.errors import LostWorkerError, UserError, reason
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.watchdog import watchdog

# CPU flags of native bfloat16 multiplication; without it bfloat16 is emulated and slower than float32.
_BFLOAT16_CPU_FLAGS = {"amx_bf16", "avx512_bf16"}

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


def make_strategy(requested: str, channel: Channel | None = None) -> tuple[tf.distribute.Strategy, str]:
    """Returns the distribution strategy (arXiv:1409.1556, sect. 3.3) and the reason for the choice, as text.

    Args:
        requested: one of `hardware.STRATEGIES`. "auto" takes all workers of the cluster if there is one, else all GPUs
            (or logical CPUs, if there is no GPU) if there are several, else one device.
        channel: the connection to the other workers; None if the work runs in one process only.

    Raises:
        LostWorkerError: TensorFlow cannot connect the workers.
    """
    keep_freed_memory()
    for gpu in tf.config.list_physical_devices("GPU"):
        # Otherwise TensorFlow takes all memory of the GPU at once, and leaves none to other processes.
        tf.config.experimental.set_memory_growth(gpu, True)
    if channel and channel.cluster:
        # Must come before logical devices are listed: that starts TensorFlow, which joins a cluster only at its start.
        return _connect_workers(
            channel, channel.cluster
        ), f"{len(channel.cluster.tasks)} workers in {channel.cluster.source}"
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if requested == "mirrored" or (requested == "auto" and len(devices) > 1):
        with _without_tf_config():
            return tf.distribute.MirroredStrategy([device.name for device in devices]), f"{len(devices)} devices"
    return tf.distribute.OneDeviceStrategy(devices[0].name), f"one {devices[0].device_type}"


@contextlib.contextmanager
def _without_tf_config() -> Iterator[None]:
    """Hides TF_CONFIG inside the context: even the strategy of one process reads it, and fails if it is malformed."""
    before = os.environ.pop("TF_CONFIG", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["TF_CONFIG"] = before


def _connect_workers(channel: Channel, cluster: Cluster) -> tf.distribute.Strategy:
    """Starts TensorFlow's server in this process and connects it to those of the other workers."""
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.addresses()),
        task_type=cluster.me.kind,
        task_id=cluster.me.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    # The channel notices a lost worker first and names it; TensorFlow's own heartbeat, of 10 seconds, would end a run
    # at each short break of the network.
    _set_heartbeat_timeout(cluster, 2 * channel.timeout)
    late = f"TensorFlow could not connect the workers within {channel.timeout:g} seconds (--worker_timeout)"
    try:
        with watchdog(channel.peers, channel.timeout, late):
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise LostWorkerError(f"{cluster.me}: TensorFlow cannot connect the workers: {reason(error)}") from error
    if threading.current_thread() is threading.main_thread():
        # TensorFlow has taken the signal for a use of its own, and would ignore it.
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    channel.on_failure(_abort_collectives)
    return strategy


def _set_heartbeat_timeout(cluster: Cluster, seconds: float) -> None:
    """Sets the time after which TensorFlow takes a silent worker for lost; the rest is as its strategy sets it."""
    jobs = tf.compat.v1.ConfigProto().experimental.coordination_config.coordinated_job_list
    for kind, addresses in cluster.addresses().items():
        jobs.add(name=kind, num_tasks=len(addresses))
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{cluster.tasks[0].kind}/replica:0/task:0",
        heartbeat_timeout_in_ms=int(1000 * seconds),
        coordinated_jobs=list(jobs),
    )


def _abort_collectives(message: str) -> None:
    """Makes the operations fail that wait for another worker, and all later ones."""
    with contextlib.suppress(ValueError):  # TensorFlow has not started
        context.context().abort_collective_ops(tf.errors.UNAVAILABLE, message)


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
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    found = re.search(rf"^{key}\s*:(.*)$", text, re.MULTILINE)
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
