"""Records the epochs of a run: in history.jsonl, as curves.png, and for TensorBoard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vgg_keras.models import vgg
from vgg_keras.models.run_record import HISTORY, TENSORBOARD
from vgg_keras.training import curves
from vgg_keras.training.event_log import EventLog
from vgg_keras.training.progress import Progress
from vgg_keras.training.resuming import write_history
from vgg_keras.utils import files


class RunLog:
    """The log of one run, which continues from the run's progress: what a killed process wrote after it is removed.

    Args:
        folder: the run's folder.
        model: the model that is trained.
        progress: progress of the run.
    """

    def __init__(self, folder: Path, model: keras.Model, progress: Progress):
        self._folder, self._model = folder, model
        write_history(folder, progress.history)
        last_epoch_step = progress.history[-1]["step"] if progress.history else 0
        num_classes = model.output_shape[-1]
        self._events = EventLog(folder / TENSORBOARD, num_classes, progress.global_step, last_epoch_step)
        self._title = f"net {vgg.net_name(model) or model.name}, run {folder.resolve().name}"

    def add_epoch(self, entry: Mapping[str, Any], better: bool) -> None:
        """Adds an epoch: a line of the history, the curves drawn anew, and TensorBoard's.

        Args:
            entry: JSON-ready numbers of the epoch.
            better: whether the model is the best so far; then its first filters are kept as a picture.
        """
        with (self._folder / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        files.sync(self._folder / HISTORY)
        curves.write(self._folder, self._title)
        self._events.add_epoch(entry)
        if better:
            first = next(layer for layer in self._model.layers if isinstance(layer, keras.layers.Conv2D))
            self._events.add_filters(entry["step"], first.get_weights()[0])

    def add_step_loss(self, step: int, loss: float) -> None:
        """Adds the mean loss of the last few steps, after `step` steps of the run."""
        self._events.add_step_loss(step, loss)

    def add_training_images(self, step: int, images: np.ndarray) -> None:
        """Adds a picture of augmented images, (N, S, S, 3) float32, RGB 0..255 plus the RGB shift, of the step."""
        self._events.add_training_images(step, images)

    def flush(self) -> None:
        """Writes to the files what is still in memory, so that it is as complete as a checkpoint that follows."""
        self._events.flush()
