"""Measures an update of the FC layers of net D by the package's optimizers against Keras's own.

Keras updates weights by an operation for each product, difference and sum; the package by one for all.

Predicted: 2 to 3 times as fast for Adam, since it reads and writes each tensor once in place of about three times; 1.5
to 2 times for SGD with momentum.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings

# Names of the optimizers' classes, and the arguments with which Keras's do what the package's do by default.
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {"Adam": {}, "SGD": {"momentum": 0.9}}
UPDATES = 4


def make(name: str, ours: bool, width: int) -> Mapping[str, Callable[[], Any]]:
    """Returns the side of an optimizer: seconds for an update of two layers, and the process's memory in GB.

    Args:
        name: name of the optimizer's class.
        ours: whether it is the package's, or else Keras's.
        width: number of channels of the FC layers.
    """
    import resource

    import keras
    import tensorflow as tf

    from vgg_keras.training.optimizers import OptimizerConfig
    from vgg_keras.utils import devices

    devices.keep_freed_memory()
    layers = [keras.layers.Dense(width, use_bias=False) for _ in range(2)]
    for layer, inputs in zip(layers, (49 * width // 8, width), strict=True):
        layer.build((None, inputs))
    weights = [layer.kernel for layer in layers]
    gradients = [tf.random.normal(weight.shape, seed=1) for weight in weights]
    if ours:
        optimizer = OptimizerConfig(name.lower(), 1e-4).make()
    else:
        optimizer = getattr(keras.optimizers, name)(1e-4, **OPTIMIZERS[name])
    optimizer.build(weights)
    update = tf.function(lambda: optimizer.apply_gradients(zip(gradients, weights, strict=True)), autograph=False)

    def work() -> None:
        for _ in range(UPDATES):
            update()

    seconds = sides.timed(work)
    return {
        "seconds": lambda: seconds() / UPDATES,
        "memory": lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for each optimizer: on FC6 and FC7 of net D, or quickly on layers of 128 channels."""
    width = 128 if settings.quick else 4096
    with contextlib.ExitStack() as stack:

        def figure(name: str) -> Figure:
            ours, peer = (stack.enter_context(sides.in_process(make, name, whose, width)) for whose in (True, False))
            return Figure(
                name=f"{name}, FC6 and FC7 of {width} channels",
                ours=ours["seconds"],
                peer=peer["seconds"],
                details=lambda: f"{ours['memory']():.1f} GB in place of {peer['memory']():.1f}",
            )

        yield list(map(figure, OPTIMIZERS))


BENCHMARK = Benchmark(
    ours="OnePassAdam and OnePassSGD",
    peer="keras.optimizers.Adam and SGD",
    prepare=prepare,
)
