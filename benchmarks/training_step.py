"""Measures a training step of net A at a quarter of the width against the training of plain Keras.

Both sides train the same file on the same batch, with momentum, the L2 penalty and dropout, each in its own process.
The package's step also counts errors, and draws its dropout so that it is the same on any number of devices.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side


def make_ours(model_path: Path, batch_size: int, steps: int) -> Mapping[str, Side]:
    """Returns the side of the package: seconds for a step of `TrainStep`."""
    import tensorflow as tf

    from vgg_keras.models import saving
    from vgg_keras.training import optimizers, train_step
    from vgg_keras.utils import devices

    strategy, _ = devices.make_strategy("one_device")
    with strategy.scope():
        model = saving.load_model(model_path)
        made = optimizers.make_optimizers(optimizers.OptimizerConfig("sgd", 1e-3, 0.9), model.layers)
    config = train_step.StepConfig(batch_size=batch_size, micro_batch_size=32, seed=0)
    step = train_step.TrainStep(model, made, strategy, config)
    images, labels = _batch(model, batch_size)
    batch = {"image": images, "label": labels, "row": tf.range(batch_size)}

    def train() -> None:
        for number in range(steps):
            step.train(batch, number).numpy()

    return {"ours": _per_step(train, steps)}


def make_keras(model_path: Path, batch_size: int, steps: int) -> Mapping[str, Side]:
    """Returns the sides of plain Keras: seconds for a step of `fit` and of `train_on_batch`."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(model_path)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = _batch(model, batch_size)
    repeated = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)

    def train_on_batches() -> None:
        for _ in range(steps):
            model.train_on_batch(images, labels)

    fit = functools.partial(model.fit, repeated, shuffle=False, verbose=0)
    return {"fit": _per_step(fit, steps), "train_on_batch": _per_step(train_on_batches, steps)}


def _per_step(train, steps: int) -> Side:
    seconds = sides.timed(train)
    return lambda: seconds() / steps


def _batch(model, batch_size: int):
    """Returns images (B, S, S, 3) float32, 0..255, and labels (B,) int32, as tensors."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (batch_size, *model.input_shape[1:]))
    labels = rng.integers(0, model.output_shape[-1], batch_size)
    return tf.constant(images, tf.float32), tf.constant(labels, tf.int32)


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: batches of 32 at 224x224 pixels, or quickly 4 at 64x64."""
    batch_size, side, steps = (4, 64, 1) if settings.quick else (32, 224, 4)
    path = materials.net_file(settings, "A", num_classes=1000, width_multiplier=1 / 4, input_size=side)
    arguments = (path, batch_size, steps)
    with sides.in_process(make_ours, *arguments) as ours, sides.in_process(make_keras, *arguments) as plain:
        yield [
            Figure(name=f"a step of {batch_size} at {side}x{side}, against {way}", ours=ours["ours"], peer=peer)
            for way, peer in plain.items()
        ]


BENCHMARK = Benchmark(
    ours="TrainStep.train on a net A of a quarter of the width",
    peer="keras.Model.fit, or train_on_batch, of the same net",
    prepare=prepare,
)
