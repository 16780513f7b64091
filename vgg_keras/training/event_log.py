"""Writes a run's curves and pictures for TensorBoard, training and validation as two runs in the same charts."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.training.pictures import filter_grid, training_image_grid
from vgg_keras.utils.display import has_top5_error
from vgg_keras.utils.files import write_atomically

TRAINING, VALIDATION = "training", "validation"
SPLITS = (TRAINING, VALIDATION)
_STEP_LOSS, _IMAGES = "step_loss", "augmented_images"
# What is written of steps; everything else is written at the end of an epoch.
_STEP_TAGS = (_STEP_LOSS, _IMAGES)
_FILES = "events.out.tfevents.*"


class EventLog:
    """The event files of one run, which TensorBoard reads.

    FOLDER/training holds the curves "loss", "top1_error" and "top5_error" over the epochs' last steps, "step_loss", and
    the pictures "augmented_images" and "first_filters"; FOLDER/validation the same first three, and further metrics.
    Of five classes or fewer there is no "top5_error"; of boxes there is "mean_iou" in its place.

    Args:
        folder: folder of the event files.
        num_classes: number of classes.
        last_step: number of steps that the run has done; what a killed process wrote of later steps is removed, since
            the run writes it again.
        last_epoch_step: step at which the last epoch of the history ended; the points of an epoch that was not finished
            are removed, as its line leaves the history. None: `last_step`.
    """

    def __init__(self, folder: Path, num_classes: int, last_step: int, last_epoch_step: int | None = None):
        for split in SPLITS:
            (folder / split).mkdir(parents=True, exist_ok=True)  # whose error, unlike that of a writer, names the path
            for path in (folder / split).glob(_FILES):
                _keep_until(path, last_step, last_step if last_epoch_step is None else last_epoch_step)
        self._num_classes = num_classes
        self._writers = {split: tf.summary.create_file_writer(str(folder / split)) for split in SPLITS}

    def add_epoch(self, entry: Mapping[str, Any]) -> None:
        """Adds a point to the curve of each float of an epoch.

        Args:
            entry: entry of the history. Keys that begin with "training_" or "validation_" belong to the split, without
                this beginning; the others to training. "step" is the position on the curves.
        """
        for key, value in entry.items():
            split, _, tag = key.partition("_")
            if split not in SPLITS:
                split, tag = TRAINING, key
            if isinstance(value, float) and (tag != "top5_error" or has_top5_error(self._num_classes)):
                self._add(split, entry["step"], tf.summary.scalar, tag, value)
        self.flush()

    def add_step_loss(self, step: int, loss: float) -> None:
        """Adds a point to the curve "step_loss": the mean loss of the last few steps, after `step` steps of the run."""
        self._add(TRAINING, step, tf.summary.scalar, _STEP_LOSS, loss)

    def add_training_images(self, step: int, images: np.ndarray) -> None:
        """Adds a grid of augmented images, (N, S, S, 3) float32, RGB 0..255 plus the RGB shift, of the step."""
        self._add(TRAINING, step, tf.summary.image, _IMAGES, training_image_grid(images)[np.newaxis])

    def add_filters(self, step: int, kernel: np.ndarray) -> None:
        """Adds a grid of the first convolution's filters, (h, w, 3, filters) float, as they are after `step` steps."""
        self._add(TRAINING, step, tf.summary.image, "first_filters", filter_grid(kernel)[np.newaxis])
        self.flush()

    def flush(self) -> None:
        """Writes to the files what is still in memory."""
        for writer in self._writers.values():
            writer.flush()

    def _add(self, split: str, step: int, write, tag: str, value) -> None:
        with self._writers[split].as_default(step=step):
            write(tag, value)


def _keep_until(path: Path, last_step: int, last_epoch_step: int) -> None:
    """Removes the events of later steps, and those of epochs that end later, from an event file."""

    def is_kept(encoded: bytes) -> bool:
        event = tf.compat.v1.Event.FromString(encoded)
        of_a_step = all(value.tag in _STEP_TAGS for value in event.summary.value)
        return event.step <= (last_step if of_a_step else last_epoch_step)

    events = list(_read_events(path))
    kept = [event for event in events if is_kept(event)]
    if len(kept) < len(events):
        write_atomically(path, lambda temporary: _write_events(temporary, kept))


def _read_events(path: Path) -> Iterator[bytes]:
    """Yields the encoded events of a file, without a last one that a killed process wrote in part."""
    with contextlib.suppress(tf.errors.DataLossError):
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def _write_events(path: Path, events: Sequence[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for event in events:
            writer.write(event)
