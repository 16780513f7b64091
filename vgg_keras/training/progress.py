"""Holds the progress of a run, as its checkpoints keep it."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from vgg_keras.training.schedules import Plateau
from vgg_keras.utils.metrics import Score


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        plateau: state of the plateau rule.
        epoch: index of the current epoch, from 0.
        step: number of steps done in the current epoch.
        global_step: number of steps done in the whole run.
        sums: loss, top-1 errors, top-5 errors and number of images, summed over the steps done in the current epoch.
        best_error: validation top-1 error of the best model so far, in percent.
        best_loss: validation loss of the best model, which decides between equal errors.
        best_step: number of steps after which the best model was saved; 0: there is none, or an earlier version of this
            package saved it.
        epochs_since_best: number of complete epochs since the best model.
        history: entries of the complete epochs, as they stand in the history.
    """

    plateau: Plateau
    epoch: int = 0
    step: int = 0
    global_step: int = 0
    sums: tuple[float, ...] = (0.0,) * 4
    best_error: float = float("inf")
    best_loss: float = float("inf")
    best_step: int = 0
    epochs_since_best: int = 0
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def has_best_model(self) -> bool:
        """Whether a best model has been saved."""
        return math.isfinite(self.best_error)

    def is_better(self, validation: Score) -> bool:
        """Returns whether a model with such a score is better than the best one so far."""
        return (validation.top1_error, validation.loss) < (self.best_error, self.best_loss)

    def after_steps(self, count: int) -> "Progress":
        """Returns the progress after further steps of the epoch."""
        return dataclasses.replace(self, step=self.step + count, global_step=self.global_step + count)

    def after_validation(self, validation: Score) -> "Progress":
        """Returns the progress after a validation: that with a new best model, if the model is better."""
        if not self.is_better(validation):
            return self
        return dataclasses.replace(
            self,
            best_error=validation.top1_error,
            best_loss=validation.loss,
            best_step=self.global_step,
            epochs_since_best=0,
        )

    def after_epoch(self, entry: Mapping[str, Any], plateau: Plateau) -> "Progress":
        """Returns the progress after a complete epoch and its validation.

        Args:
            entry: entry of the epoch in the history.
            plateau: state of the plateau rule after the epoch.
        """
        return dataclasses.replace(
            self,
            epoch=self.epoch + 1,
            step=0,
            sums=(0.0,) * 4,
            plateau=plateau,
            epochs_since_best=0 if self.best_step == self.global_step else self.epochs_since_best + 1,
            history=(*self.history, entry),
        )


class SavedProgress(tf.train.experimental.PythonState):
    """A `Progress`, stored in a checkpoint as JSON, in which Python writes floats with all their digits.

    Args:
        value: progress of a new run.
        read_history: function to the entries in the run's history, which earlier versions of this package did not keep
            in the checkpoint.
    """

    def __init__(self, value: Progress, read_history: Callable[[], list[dict]]):
        super().__init__()
        self.value, self._read_history = value, read_history

    def serialize(self) -> str:
        return json.dumps(dataclasses.asdict(self.value))

    def deserialize(self, string_value) -> None:
        content = json.loads(string_value)
        if "history_lines" in content:
            content["history"] = self._read_history()[: content.pop("history_lines")]
        tuples = {name: tuple(content[name]) for name in ("sums", "history")}
        self.value = Progress(**{**content, **tuples, "plateau": Plateau(**content["plateau"])})
