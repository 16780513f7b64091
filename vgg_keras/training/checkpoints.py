"""Checkpoints that are complete or absent, and that hold all that a run needs to go on in the middle of an epoch."""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras.models.saving import latest_checkpoint
from vgg_keras.training.schedules import Plateau
from vgg_keras.utils.cli import UserError, reason


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        epoch: the epoch under way, from 0.
        step: steps done of it.
        global_step: steps done in all.
        sums: loss, top-1 mistakes, top-5 mistakes and images summed over the steps done of this epoch.
        plateau: the learning rate rule.
        best_error: top-1 error in percent of the best model so far.
        best_loss: its loss, which decides between equal errors.
        epochs_since_best: complete epochs since then.
        history_lines: lines of the history that are final.
    """

    plateau: Plateau
    epoch: int = 0
    step: int = 0
    global_step: int = 0
    sums: tuple[float, ...] = (0.0,) * 4
    best_error: float = float("inf")
    best_loss: float = float("inf")
    epochs_since_best: int = 0
    history_lines: int = 0


class _SavedProgress(tf.train.experimental.PythonState):
    """A `Progress` as JSON inside a checkpoint; Python writes floats with all their digits."""

    def __init__(self, value: Progress):
        super().__init__()
        self.value = value

    def serialize(self) -> str:
        return json.dumps(dataclasses.asdict(self.value))

    def deserialize(self, string_value) -> None:
        content = json.loads(string_value)
        plateau = Plateau(**content.pop("plateau"))
        self.value = Progress(plateau=plateau, **{**content, "sums": tuple(content["sums"])})


class Checkpoints:
    """The rotating checkpoints of one run.

    TensorFlow writes a checkpoint under a temporary name, renames it, and then replaces the file that names the newest
    one; a process that is killed in between leaves the last complete one as the newest.

    Args:
        folder: where they lie; made on the first save.
        model: the model.
        optimizers: its optimizers, already built.
        progress: where a new run starts.
        keep: how many to keep.
        chief: whether this process's files are kept; the other workers of a cluster have to take part in saving, and
            write into a temporary folder.
    """

    def __init__(
        self,
        folder: Path,
        model: keras.Model,
        optimizers: Sequence[keras.optimizers.Optimizer],
        progress: Progress,
        *,
        keep: int = 3,
        chief: bool = True,
    ):
        self._folder, self._chief = folder, chief
        self._progress = _SavedProgress(progress)
        self._checkpoint = tf.train.Checkpoint(model=model, optimizers=list(optimizers), progress=self._progress)
        self._scratch = None if chief else tempfile.TemporaryDirectory()
        place = folder if chief else Path(self._scratch.name)
        if chief:
            remove_unfinished(folder)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(place), max_to_keep=keep if chief else 1)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint of the model and the optimizers as they are, with this progress."""
        self._progress.value = progress
        self._manager.save(checkpoint_number=progress.global_step)

    def restore(self) -> Progress:
        """Restores the newest checkpoint.

        Returns:
            Its progress; where there is no checkpoint, that of a new run.

        Raises:
            UserError: the checkpoint does not fit the model, or is damaged.
        """
        newest = latest_checkpoint(self._folder)
        if newest is None:
            return self._progress.value
        try:
            self._checkpoint.restore(newest).assert_existing_objects_matched()
        except (ValueError, AssertionError, tf.errors.OpError) as error:
            raise UserError(f"cannot continue from {newest}: {reason(error)}") from error
        return self._progress.value


def remove_unfinished(folder: Path) -> None:
    """Deletes what a killed process left half-written in a folder of checkpoints."""
    for unfinished in (*folder.glob("*_temp"), *folder.glob("*.tempstate*")):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    # Data without an index was never finished either.
    for data in folder.glob("*.data-*"):
        if not data.with_name(data.name.partition(".data-")[0] + ".index").exists():
            data.unlink()
