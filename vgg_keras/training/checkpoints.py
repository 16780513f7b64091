"""Saves and restores checkpoints, with all that a run needs to resume in the middle of an epoch.

A checkpoint counts once its manifest is on the disk (`models/checkpoint_files.py`), which holds the checksums of its
files and of the best model at that moment. From which one a run resumes is decided elsewhere (`resuming.py`).

Training goes on while a checkpoint is written: it waits for a copy in memory only (`snapshots.py`).
"""

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras.models import checkpoint_files, run_record
from vgg_keras.training import resuming
from vgg_keras.training.progress import Progress, SavedProgress
from vgg_keras.training.snapshots import Snapshot
from vgg_keras.utils import files, keras_compat
from vgg_keras.utils.background import Background


class Checkpoints:
    """The rotating checkpoints of one run, and its best model.

    Args:
        run: the run's folder.
        model: the model.
        optimizers: the model's optimizers, already built.
        progress: progress of a new run.
        keep: number of checkpoints to keep.
        chief: whether this process is the chief; the other workers of a cluster write nothing.

    Attributes:
        writer: the thread that writes; whoever saves waits for it at last, and looks for its errors meanwhile.
    """

    def __init__(
        self,
        run: Path,
        model: keras.Model,
        optimizers: Sequence[keras.optimizers.Optimizer],
        progress: Progress,
        *,
        keep: int = 3,
        chief: bool = True,
    ):
        self._run, self._folder, self._keep, self._chief = run, run / run_record.CHECKPOINTS, keep, chief
        self.writer = Background()
        self._model = model
        self._progress = SavedProgress(progress, lambda: run_record.read_history(run))
        self._checkpoint = tf.train.Checkpoint(model=model, optimizers=list(optimizers), progress=self._progress)
        # The best model does not change from one checkpoint to the next, so it is read only once for its checksum.
        self._best_model: dict[str, dict] = {}
        # The progress of the last checkpoint that was begun, and of the last one that is on the disk.
        self._begun: Progress | None = None
        self._saved: Progress | None = None

    def save(self, progress: Progress, write_best: Callable[[Path], None] | None = None) -> None:
        """Saves the state of model and optimizers, and the progress; removes the checkpoints beyond `keep`.

        The state is copied, once the checkpoint before is on the disk, and then written by a thread. All workers of a
        cluster call this alike.

        The state follows from the progress. What is saved already is not written again, since a process that is killed
        meanwhile would leave neither the old checkpoint of the step nor the new one.

        Args:
            progress: progress of the run.
            write_best: function that writes the run's best model to a path, if it is that of this moment; it belongs to
                all checkpoints from now on.

        Raises:
            Exception: that of the thread, which could not write the checkpoint before.
        """
        if progress == self._begun:
            return
        self.writer.wait()
        self._progress.value = self._begun = progress
        snapshot = self._take_snapshot(progress.global_step)
        if snapshot:
            self.writer.start(functools.partial(self._write, progress, snapshot, write_best))
        else:
            self._saved = progress  # by the chief

    def _take_snapshot(self, step: int) -> Snapshot | None:
        """Returns a snapshot for the checkpoint of a step; None on a worker that is not the chief."""
        if not self._chief and not _averaged_on_read(self._model):
            return None
        snapshot = Snapshot(self._checkpoint, checkpoint_files.prefix(self._folder, step).name)
        if self._chief:
            return snapshot
        snapshot.drop()
        return None

    @property
    def saved_step(self) -> int:
        """Number of steps that the newest checkpoint holds; 0: there is none, or it is that of a new run."""
        return self._saved.global_step if self._saved else 0

    def _write(self, progress: Progress, snapshot: Snapshot, write_best: Callable[[Path], None] | None) -> None:
        step = progress.global_step
        best_model = checkpoint_files.best_model(self._folder, step)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if write_best:
                write_best(best_model)
                self._best_model = {best_model.name: files.describe(best_model)}
            # Of the step there may be a damaged checkpoint, whose manifest does not count for the new one.
            checkpoint_files.manifest(self._folder, step).unlink(missing_ok=True)
            described = snapshot.write(self._folder, self.writer.require_wanted)
            checkpoint_files.write_manifest(self._folder, step, described | self._best_model)
        finally:
            snapshot.drop()
        self._remove_old(step)
        # The best model outside comes last, so that it is never of a later epoch than the newest checkpoint.
        if write_best:
            resuming.copy(best_model, self._run / run_record.BEST_MODEL)
        self._saved = progress

    def restore(self, step: str) -> Progress:
        """Restores a checkpoint; nothing is written.

        Args:
            step: result of `resuming.choose`.

        Returns:
            The progress in the checkpoint; of a run that has not begun, that of a new run.

        Raises:
            UserError: the checkpoint does not fit the model or its optimizers.
        """
        if step:
            checkpoint_files.restore(self._folder, int(step), self._checkpoint)
            self._begun = self._saved = self._progress.value
        return self._progress.value

    def mend(self) -> None:
        """Removes what a killed process left, and makes the run's history and best model those of the checkpoint."""
        if not self._chief:
            return
        checkpoint_files.remove_unfinished(self._folder)
        if self._saved:
            self._best_model = resuming.restore_best_model(self._run, self._saved)
            resuming.restore_history(self._run, self._saved)

    def _remove_old(self, newest: int) -> None:
        """Removes all checkpoints but the newest ones, damaged later ones too, and best models that none refers to."""
        kept = [step for step in checkpoint_files.steps(self._folder) if step <= newest][: self._keep]
        _note_newest(self._run / run_record.NEWEST_CHECKPOINT, kept)
        for step in set(checkpoint_files.steps(self._folder)) - set(kept):
            # The manifest comes last: while it is there, the rest is not taken for an earlier version's checkpoint.
            for path in (*checkpoint_files.files_of(self._folder, step), checkpoint_files.manifest(self._folder, step)):
                path.unlink(missing_ok=True)
        needed = {name for step in kept for name in checkpoint_files.manifest_or_nothing(self._folder, step)}
        for path in checkpoint_files.best_models(self._folder):
            if path.name not in needed:
                path.unlink()


def _averaged_on_read(model: keras.Model) -> bool:
    """Returns whether reading a model's variables takes all workers, as of batch normalization in Keras 2."""
    on_read = tf.VariableSynchronization.ON_READ
    return any(keras_compat.tf_variable(variable).synchronization == on_read for variable in model.variables)


def _note_newest(path: Path, steps: Sequence[int]) -> None:
    """Writes the file that names the checkpoints, newest first, for `tf.train.latest_checkpoint`."""
    names = [json.dumps(f"ckpt-{step}") for step in steps]
    lines = [f"model_checkpoint_path: {names[0]}", *(f"all_model_checkpoint_paths: {name}" for name in reversed(names))]
    files.write_text(path, "\n".join(lines) + "\n")
