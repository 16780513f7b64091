"""Saves and restores checkpoints, with all that a run needs to resume in the middle of an epoch.

A checkpoint counts once its manifest is on the disk (`models/checkpoint_files.py`), which holds the checksums of its
files and of the best model at that moment. A run resumes from the newest checkpoint that is whole; its history and its
best model then become those of that checkpoint. A run that has begun is never begun anew.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from vgg_keras.models import checkpoint_files, run_record
from vgg_keras.training.progress import Progress, SavedProgress
from vgg_keras.utils import console, files
from vgg_keras.utils.errors import UserError


class Checkpoints:
    """The rotating checkpoints of one run, and its best model.

    Args:
        run: the run's folder.
        model: the model.
        optimizers: the model's optimizers, already built.
        progress: progress of a new run.
        keep: number of checkpoints to keep.
        chief: whether this process is the chief, whose checkpoints are kept; the other workers of a cluster have to
            take part in saving, and write into a temporary folder.
        agree: function from a name and this worker's value to the chief's value.
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
        agree: Callable[[str, str], str] = lambda name, value: value,
    ):
        self._agree = agree
        self._run, self._folder, self._keep, self._chief = run, run / run_record.CHECKPOINTS, keep, chief
        self._progress = SavedProgress(progress, lambda: run_record.read_history(run))
        self._checkpoint = tf.train.Checkpoint(model=model, optimizers=list(optimizers), progress=self._progress)
        # The best model does not change from one checkpoint to the next, so it is read only once for its checksum.
        self._best_model: dict[str, dict] = {}
        self._saved: Progress | None = None

    def save(self, progress: Progress) -> None:
        """Writes a checkpoint with the state of model and optimizers, and the progress; removes those beyond `keep`.

        The state follows from the progress. What is saved already is not written again, since a process that is killed
        meanwhile would leave neither the old checkpoint of the step nor the new one.
        """
        if progress == self._saved:
            return
        self._write(progress)
        self._saved = progress

    @property
    def saved_step(self) -> int:
        """Number of steps that the newest checkpoint holds; 0: there is none, or it is that of a new run."""
        return self._saved.global_step if self._saved else 0

    def _write(self, progress: Progress) -> None:
        self._progress.value = progress
        step = progress.global_step
        if not self._chief:
            with tempfile.TemporaryDirectory() as scratch:
                self._checkpoint.write(str(checkpoint_files.prefix(Path(scratch), step)))
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        # Of the step there may be a damaged checkpoint, whose manifest does not count for the new one.
        checkpoint_files.manifest(self._folder, step).unlink(missing_ok=True)
        self._checkpoint.write(str(checkpoint_files.prefix(self._folder, step)))
        written = checkpoint_files.files_of(self._folder, step)
        for path in written:
            files.sync(path)
        described = {path.name: files.describe(path) for path in written}
        checkpoint_files.write_manifest(self._folder, step, described | self._best_model)
        self._remove_old(step)

    def save_best_model(self, step: int, save: Callable[[Path], None]) -> None:
        """Saves the run's best model, which belongs to all checkpoints from now on.

        Args:
            step: number of steps of the run.
            save: function that writes the model to a path.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = checkpoint_files.best_model(self._folder, step)
        save(path)
        self._best_model = {path.name: files.describe(path)}
        _copy(path, self._run / run_record.BEST_MODEL)

    def restore(self) -> Progress:
        """Restores the newest checkpoint that is whole; the run's history and best model become those of it.

        Returns:
            The progress in the checkpoint; of a run that has not begun, that of a new run.

        Raises:
            UserError: the run has begun and no checkpoint is whole, or it does not fit the model or its optimizers.
        """
        # The chief alone looks at the files, and all restore what it names.
        chosen = self._agree("checkpoint", self._choose() if self._chief else "")
        if not chosen:
            return self._progress.value
        step = int(chosen)
        checkpoint_files.restore(self._folder, step, self._checkpoint)
        self._saved = self._progress.value
        if self._chief:
            self._restore_best_model(step, self._progress.value)
            restore_history(self._run, self._progress.value)
        return self._progress.value

    def _choose(self) -> str:
        """Returns the step of the newest checkpoint that is whole, as text; "" for a run that has not begun.

        Raises:
            UserError: the run has begun and no checkpoint is whole.
        """
        remove_unfinished(self._folder)
        step, problems = checkpoint_files.newest_whole(self._folder)
        if problems and self._restore_copies():
            step, problems = checkpoint_files.newest_whole(self._folder)
        if step is None:
            self._require_new(problems)
            return ""
        for problem in problems:
            console.warn(f"{self._folder}: {problem}; going back to ckpt-{step}, the newest checkpoint that is whole")
        return str(step)

    def _require_new(self, problems: Sequence[str]) -> None:
        """Refuses a run that has begun and has no whole checkpoint: it would be begun anew, over the old one."""
        way_out = (
            f"bring {self._folder} back from a copy, or choose another --output_dir "
            f"(--init_from={self._run} takes the weights of its best model)"
        )
        if problems:
            raise UserError(f"no checkpoint of {self._run} is whole ({'; '.join(problems)}): {way_out}")
        history = self._run / run_record.HISTORY
        if (self._run / run_record.BEST_MODEL).exists() or (history.exists() and history.stat().st_size):
            raise UserError(f"{self._run} holds a run without checkpoints, which cannot be resumed: {way_out}")

    def _restore_copies(self) -> bool:
        """Replaces damaged copies of the best model by the best model itself, if that is the same and whole.

        Returns:
            Whether there was one to replace.
        """
        manifests = (_manifest_or_nothing(self._folder, step) for step in checkpoint_files.steps(self._folder))
        known = {name: kept for manifest in manifests for name, kept in manifest.items() if name.startswith("best-")}
        best_model = self._run / run_record.BEST_MODEL
        replaced = False
        for name, kept in known.items():
            damaged = files.difference(self._folder / name, kept)
            if damaged and not files.difference(best_model, kept):
                _copy(best_model, self._folder / name)
                replaced = True
        return replaced

    def _restore_best_model(self, step: int, progress: Progress) -> None:
        """Makes the run's best model that of the checkpoint, if it is damaged, missing or of a later epoch."""
        best_model = self._run / run_record.BEST_MODEL
        if not progress.has_best_model:
            if best_model.exists():
                best_model.unlink()
                console.warn(
                    f"{best_model} was of a later epoch than the checkpoint and is removed; training makes it anew"
                )
            return
        kept = checkpoint_files.best_model(self._folder, progress.best_step)
        if not kept.exists():  # an earlier version saved it, of which there is no copy
            return
        content = _manifest_or_nothing(self._folder, step).get(kept.name) or files.describe(kept)
        self._best_model = {kept.name: content}
        difference = files.difference(best_model, content)
        if difference:
            _copy(kept, best_model)
            console.warn(
                f"{difference}; it is replaced by the best model of the checkpoint, that of step {progress.best_step}"
            )

    def _remove_old(self, newest: int) -> None:
        """Removes all checkpoints but the newest ones, damaged later ones too, and best models that none refers to."""
        kept = [step for step in checkpoint_files.steps(self._folder) if step <= newest][: self._keep]
        _note_newest(self._run / run_record.NEWEST_CHECKPOINT, kept)
        for step in set(checkpoint_files.steps(self._folder)) - set(kept):
            # The manifest comes last: while it is there, the rest is not taken for an earlier version's checkpoint.
            for path in (*checkpoint_files.files_of(self._folder, step), checkpoint_files.manifest(self._folder, step)):
                path.unlink(missing_ok=True)
        needed = {name for step in kept for name in _manifest_or_nothing(self._folder, step)}
        for path in self._folder.glob("best-*.keras"):
            if path.name not in needed:
                path.unlink()


def _manifest_or_nothing(folder: Path, step: int) -> dict[str, dict]:
    try:
        return checkpoint_files.read_manifest(folder, step)
    except UserError:
        return {}


def _note_newest(path: Path, steps: Sequence[int]) -> None:
    """Writes the file that names the checkpoints, newest first, for `tf.train.latest_checkpoint`."""
    names = [json.dumps(f"ckpt-{step}") for step in steps]
    lines = [f"model_checkpoint_path: {names[0]}", *(f"all_model_checkpoint_paths: {name}" for name in reversed(names))]
    files.write_text(path, "\n".join(lines) + "\n")


def _copy(source: Path, target: Path) -> None:
    files.write_atomically(target, lambda temporary: shutil.copyfile(source, temporary))


def restore_history(run: Path, progress: Progress) -> None:
    """Makes the complete epochs in the run's history those of the progress, if they differ; later lines stay.

    Args:
        run: the run's folder.
        progress: progress of the run.
    """
    expected = [dict(entry) for entry in progress.history]
    try:
        found = run_record.read_history(run)
    except (ValueError, UserError):
        found = None
    if found is None or found[: len(expected)] != expected:
        write_history(run, expected)
        console.warn(f"{run / run_record.HISTORY} is missing or damaged; it is that of the checkpoint again")


def write_history(run: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Writes the history of a run anew."""
    files.write_text(run / run_record.HISTORY, "".join(json.dumps(entry) + "\n" for entry in entries))


def remove_unfinished(folder: Path) -> None:
    """Deletes the incomplete files that a killed process left in a folder of checkpoints."""
    for unfinished in (*folder.glob("*_temp"), *folder.glob("*.tempstate*"), *folder.glob(".*.incomplete*")):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    # TensorFlow writes the index last: data files without one are incomplete too, unless they were complete once.
    for data in folder.glob("*.data-*"):
        prefix = data.name.partition(".data-")[0]
        if not (folder / f"{prefix}.index").exists() and not (folder / f"{prefix}.json").exists():
            data.unlink()
