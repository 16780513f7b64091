"""Measures how long epochs take beyond their steps: whether their ends are held up by the tuner of tf.data.

Goes through epochs of small crops in steps of a fixed length, in which the CPU is idle, as it is beside a GPU. The peer
is the same pipeline as most programs have it: tuned by `tf.data`, and distributed over the devices by TensorFlow, which
deletes the iterator where it is used.

Several epochs are one measurement, since only some of them are held up: of single epochs the medians hardly differed
(ratio 1.01 [1.00; 1.01]), though one in six took half as long again or longer.

Predicted from these trials: the tuner (`vgg_keras.data.untuned`) sleeps for up to as long as the epoch has lasted, and
is not woken up at the end of one to two epochs in six: a ratio from 1.1 to 1.2. That was too much: of short epochs
fewer are held up, and for less time (docs/results.md).
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.input_pipeline import Augmentation
from vgg_keras.utils import cli

_SPLIT = "train"
_BATCH, _CROP, _SCALES = 32, 32, (32, 40)
# Drawn photos of about 125x93 pixels, each of which is stored several times.
_DIVISOR, _PHOTOS = 4, 8
_EPOCHS, _QUICK_EPOCHS = 8, 1
_STEPS, _QUICK_STEPS = 8, 2
_SECONDS, _QUICK_SECONDS = 0.25, 0.01


def tuned(strategy: tf.distribute.Strategy, batch_size: int, num_batches: int, make_dataset: Callable) -> Iterator:
    """Returns what `input_pipeline.distribute` returns, of a pipeline that is tuned and deleted by TensorFlow."""
    options = tf.data.Options()
    options.autotune.enabled = True

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        per_replica = context.get_per_replica_batch_size(batch_size)
        made = make_dataset(batch_size=batch_size, per_replica_batch=per_replica)
        return made.prefetch(tf.data.AUTOTUNE).with_options(options)

    batches = iter(strategy.distribute_datasets_from_function(dataset))
    for _ in range(num_batches):
        yield next(batches)


def make_sides(data_dir: str, num_devices: int, epochs: int, steps: int, seconds: float) -> Mapping[str, Side]:
    """Returns both sides by their names: the time of some epochs.

    Args:
        data_dir: the data set.
        num_devices: number of devices that the CPU is split into.
        epochs: number of epochs.
        steps: number of steps of an epoch.
        seconds: length of a step.
    """
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_devices)
    devices = [f"/cpu:{index}" for index in range(num_devices)]
    with cli.quiet_logs():
        one = num_devices == 1
        strategy = tf.distribute.OneDeviceStrategy(devices[0]) if one else tf.distribute.MirroredStrategy(devices)
        data = datasets.open_data(data_dir)
        augmentation = Augmentation(_CROP, _SCALES, datasets.load_rgb_statistics(data, _SPLIT))
    make = functools.partial(input_pipeline.training_epoch, data, _SPLIT, augmentation, seed=0, epoch=0)

    def all_epochs(distribute: Callable[..., Iterator]) -> Side:
        @cli.quiet_logs()
        def work() -> None:
            for _ in range(epochs):
                for _ in distribute(strategy, _BATCH, steps, make):
                    time.sleep(seconds)

        return sides.timed(work)

    return {"ours": all_epochs(input_pipeline.distribute), "peer": all_epochs(tuned)}


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for one device, whose batches are moved nowhere, and one for two."""
    length = (_QUICK_EPOCHS, _QUICK_STEPS, _QUICK_SECONDS) if settings.quick else (_EPOCHS, _STEPS, _SECONDS)
    epochs, steps, seconds = length
    data_dir = materials.repeated_photos(settings, _PHOTOS, _DIVISOR, steps * _BATCH // _PHOTOS)
    with contextlib.ExitStack() as processes:
        figures = []
        for num_devices, named in ((1, "one device"), (2, "two devices")):
            made = processes.enter_context(sides.in_process(make_sides, data_dir, num_devices, *length))
            figures.append(Figure(name=f"{named}, {epochs} epochs of {steps} steps of {seconds:g} s", **made))
        yield figures


BENCHMARK = Benchmark(
    ours="input_pipeline.distribute, without tf.data's tuner",
    peer="the same pipeline, tuned by tf.data, in strategy.distribute_datasets_from_function",
    prepare=prepare,
)
