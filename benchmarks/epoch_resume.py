"""Measures how soon the first batch of a training epoch is there, at its first step and at a late one.

A run that was stopped in the middle of an epoch goes on at step k. `input_pipeline.training_epoch` knows where each
record lies (`record_index`), and reads those of the first batch alone. The plain way, `tf.data.TFRecordDataset` with a
shuffle buffer, reads all records up to there and throws them away, though without decoding them. Both decode and crop
alike, and begin with an opened data set; both are timed from the making of the pipeline, which includes the tracing of
its graph, to the first batch.

NOTE: the peer shuffles only within its buffer of 4,096 records, and its order hangs together with that of the files;
ours is a permutation of the whole split. After the warm-up all records are in the memory of the system, which favours
the peer: it reads most.

Predicted, before any measurement: ours takes as long at every step, a few tenths of a second, of which most goes into
the graph. The peer reads 4,096 + 256 k records before the first batch, so that its time grows linearly with k. Of the
drawn records, of 8 KB, it should read about 100,000 in a second: 0.04 s at step 0, where its simpler graph should make
it the faster one, and 0.2 s more at the last tenth of the epoch, where the two should be about equal. With ImageNet's
records of 110 KB, of which 1.28 million are 140 GB, the same tenth should be minutes away for the peer, and no further
for ours. No figure is given yet: there was no quiet machine to measure it on.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.input_pipeline import Augmentation
from vgg_keras.utils import cli

_SPLIT = "train"
_SEED = 0
_BUFFER = 4096
_BATCH, _QUICK_BATCH = 256, 32
# Small crops, so that little but the reading is timed.
_CROP, _SCALES = 32, (32, 40)
# Drawn photos of about 125x93 pixels, each of which is stored many times.
_DIVISOR, _PHOTOS = 4, 50
_RECORDS, _QUICK_RECORDS = 20_000, 1_000
# Where in the epoch the first batch lies; three show whether a time grows linearly.
_PLACES = (0.0, 0.45, 0.9)


def plain_epoch(data: ImageData, augmentation: Augmentation, batch_size: int, first_step: int) -> tf.data.Dataset:
    """Returns the batches of an epoch as TensorFlow's examples make them, from a step on.

    Args:
        data: the data set.
        augmentation: what the net is shown of an image.
        batch_size: number of images in a batch.
        first_step: number of batches to skip.

    Returns:
        A data set of what `Augmentation` returns, (B, ...), with "label": (B,) int64.
    """
    info = data.builder.info
    first = first_step * batch_size

    def load(position: tf.Tensor, record: tf.Tensor) -> dict[str, tf.Tensor]:
        example = info.features.deserialize_example(record, decoders={data.image_key: tfds.decode.SkipDecoding()})
        seed = tf.random.experimental.stateless_fold_in(tf.constant([_SEED, 0], tf.int64), position)
        return {
            **augmentation({"image_bytes": example[data.image_key]}, seed),
            "label": example[data.label_key],
        }

    records = tf.data.TFRecordDataset([str(path) for path in info.splits[_SPLIT].filepaths])
    records = records.shuffle(_BUFFER, _SEED).skip(first).enumerate(first)
    return records.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def epochs(data: ImageData, batch_size: int, first_step: int) -> Mapping[str, Callable[[], tf.data.Dataset]]:
    """Returns functions that make the pipelines of both sides, which begin at a step, by the sides' names."""
    augmentation = Augmentation(_CROP, _SCALES, datasets.load_rgb_statistics(data, _SPLIT))
    return {
        "ours": lambda: input_pipeline.training_epoch(
            data, _SPLIT, augmentation, seed=_SEED, epoch=0, batch_size=batch_size, first_step=first_step
        ),
        "peer": lambda: plain_epoch(data, augmentation, batch_size, first_step),
    }


def make_sides(data_dir: str, batch_size: int, first_step: int) -> Mapping[str, Side]:
    """Returns both sides by their names.

    Args:
        data_dir: the data set.
        batch_size: number of images in a batch.
        first_step: number of batches in front of the first one.
    """

    def first_batch(make: Callable[[], tf.data.Dataset]) -> Side:
        @cli.quiet_logs()
        def work() -> None:
            next(iter(make()))

        return sides.timed(work)

    with cli.quiet_logs():
        made = epochs(datasets.open_data(data_dir), batch_size, first_step)
    return {name: first_batch(make) for name, make in made.items()}


def count_images(data_dir: str) -> int:
    """Returns the number of images of a training split."""
    with cli.quiet_logs():
        return datasets.open_data(data_dir).num_images(_SPLIT)


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for the first step of the epoch, one for the middle, and one for a late step."""
    records = _QUICK_RECORDS if settings.quick else _RECORDS
    data_dir = materials.repeated_photos(settings, _PHOTOS, _DIVISOR, records // _PHOTOS)
    batch_size = _QUICK_BATCH if settings.quick else _BATCH
    count = sides.apart(count_images, data_dir)
    steps = count // batch_size
    with contextlib.ExitStack() as processes:
        figures = []
        for first_step in dict.fromkeys(int(place * steps) for place in _PLACES):
            made = processes.enter_context(sides.in_process(make_sides, data_dir, batch_size, first_step))
            name = f"step {first_step:,} of {steps:,}, {count:,} records, batches of {batch_size}"
            figures.append(Figure(name=name, **made))
        yield figures


BENCHMARK = Benchmark(
    ours="input_pipeline.training_epoch(first_step=k): the records of the first batch are read at their places",
    peer=f"tf.data.TFRecordDataset(files).shuffle({_BUFFER:,}, seed).skip(k * batch_size), with the same decoding",
    prepare=prepare,
)
