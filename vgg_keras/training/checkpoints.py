"""Saves and restores checkpoints, with all that a run needs to resume in the middle of an epoch."""

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
from vgg_keras.utils.errors import UserError, reason


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
        epochs_since_best: number of complete epochs since the best model.
        history_lines: number of lines of the history that are final.
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
    """A `Progress`, stored in a checkpoint as JSON, in which Python writes floats with all their digits."""

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

    TensorFlow writes a checkpoint under a temporary name, renames it, and then updates the file that names the newest
    checkpoint. If the process is killed meanwhile, the last complete checkpoint remains the newest.

    Args:
        folder: folder of the checkpoints; made on the first save.
        model: the model.
        optimizers: the model's optimizers, already built.
        progress: progress of a new run.
        keep: number of checkpoints to keep.
        chief: whether this process is the chief, whose checkpoints are kept; the other workers of a cluster have to
            take part in saving, and write into a temporary folder.
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
        if chief:
            own_folder = folder
            remove_unfinished(folder)
        else:
            self._scratch = tempfile.TemporaryDirectory()
            own_folder = Path(self._scratch.name)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(own_folder), max_to_keep=keep if chief else 1)

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint with the current state of model and optimizers, and the progress."""
        self._progress.value = progress
        self._manager.save(checkpoint_number=progress.global_step)

    def restore(self) -> Progress:
        """Restores the newest checkpoint.

        Returns:
            The progress in the checkpoint; without a checkpoint, that of a new run.

        Raises:
            UserError: the checkpoint is damaged, or does not fit the model or its optimizers.
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
    """Deletes the incomplete files that a killed process left in a folder of checkpoints."""
    for unfinished in (*folder.glob("*_temp"), *folder.glob("*.tempstate*")):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    # The index is written last: data files without one are incomplete too.
    for data in folder.glob("*.data-*"):
        if not data.with_name(data.name.partition(".data-")[0] + ".index").exists():
            data.unlink()
