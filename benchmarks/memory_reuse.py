"""Measures how much faster training on a CPU is if freed memory is kept for the next step, and with larger pages.

Trains net A on random images for a few steps, alternately in a process that has called `devices.keep_freed_memory` and
in one with the C library's defaults; then alternately as before and with pages of 2 MB, for which Linux has to allow
them (`/sys/kernel/mm/transparent_hugepage/enabled` says "madvise").

Predicted: 1.2 to 2 times as fast; the gain grows with the share of the FC layers, whose gradients are tensors of 0.4
GB. It depends on the machine: on two cores with AVX2 it was 1.19, on two of a newer Xeon with Linux 6.18 nothing.
"""

import contextlib
import dataclasses
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.harness import sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings

# The C library reads the variable only when a process starts.
_LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclasses.dataclass(frozen=True)
class Training:
    """The training that is timed.

    Attributes:
        width: factor of the width of net A.
        batch_size: images a step.
        steps: number of steps that are timed, after one that is not.
    """

    width: float = 1.0
    batch_size: int = 32
    steps: int = 4


def train(training: Training, keep: bool) -> tuple[float, float]:
    """Trains for a few steps.

    Args:
        training: the training.
        keep: whether freed memory is kept for the next step.

    Returns:
        Seconds for a step, and the peak memory of the process in GB.
    """
    import numpy as np
    import tensorflow as tf

    from vgg_keras.models import vgg
    from vgg_keras.training import optimizers, train_step
    from vgg_keras.utils import devices

    if keep:
        devices.keep_freed_memory()
    model = vgg.build("A", width_multiplier=training.width, initialization=vgg.Initialization("glorot", seed=0))
    size = training.batch_size
    step = train_step.TrainStep(
        model,
        optimizers.make_optimizers(optimizers.OptimizerConfig("sgd", 1e-3, 0.9), model.layers),
        tf.distribute.OneDeviceStrategy("/cpu:0"),
        train_step.StepConfig(batch_size=size, micro_batch_size=32, seed=0),
    )
    rng = np.random.default_rng(0)
    batch = {
        "image": tf.constant(rng.uniform(0, 255, (size, 224, 224, 3)), tf.float32),
        "label": tf.constant(rng.integers(0, 1000, size), tf.int32),
        "row": tf.range(size),
    }
    step.train(batch, 0).numpy()
    started = time.perf_counter()
    for number in range(training.steps):
        step.train(batch, number).numpy()
    seconds = (time.perf_counter() - started) / training.steps
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables inside the context, for processes that are started there."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures; each timing has a new process, since what is kept stays, and takes gigabytes."""
    training = Training(width=1 / 16, batch_size=2, steps=1) if settings.quick else Training()
    name = f"net A, width {training.width:g}, a step of {training.batch_size}"

    def figure(against: str, peer_keeps: bool, peer_variables: Mapping[str, str]) -> Figure:
        memory: dict[str, list[float]] = {"ours": [], "peer": []}

        def side(who: str, keep: bool, variables: Mapping[str, str]) -> Callable[[], float]:
            def seconds() -> float:
                with _environment(variables):
                    seconds, used = sides.apart(train, training, keep)
                memory[who].append(used)
                return seconds

            return seconds

        return Figure(
            name=f"{name}, against {against}",
            ours=side("ours", True, {}),
            peer=side("peer", peer_keeps, peer_variables),
            details=lambda: "{:.1f} GB in place of {:.1f}".format(*map(statistics.median, memory.values())),
        )

    yield [
        figure("the C library's defaults", False, {}),
        figure("the package with pages of 2 MB", True, _LARGE_PAGES),
    ]


BENCHMARK = Benchmark(
    ours="TrainStep.train after devices.keep_freed_memory",
    peer="the same with the defaults of the C library, or with pages of 2 MB (glibc.malloc.hugetlb=1)",
    warm_ups=0,
    prepare=prepare,
)
