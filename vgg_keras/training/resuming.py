"""Decides where a run resumes, and brings its folder back to that moment.

A run resumes from its newest checkpoint that is whole; its history and its best model then become those of that
checkpoint. A run that has begun is never begun anew. The decision only reads, so that a run which is refused later
stays as it was.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.models import checkpoint_files, run_record
from vgg_keras.training.progress import Progress
from vgg_keras.utils import console, files
from vgg_keras.utils.errors import UserError


def choose(run: Path) -> str:
    """Returns the step of the newest checkpoint that is whole, as text; "" for a run that has not begun.

    Args:
        run: the run's folder, which is only read.

    Raises:
        UserError: the run has begun and no checkpoint is whole.
    """
    folder = run / run_record.CHECKPOINTS
    step, problems = checkpoint_files.newest_whole(folder, run / run_record.BEST_MODEL)
    if step is None:
        _require_new(run, problems)
        return ""
    for problem in problems:
        console.warn(f"{folder}: {problem}; going back to ckpt-{step}, the newest checkpoint that is whole")
    return str(step)


def _require_new(run: Path, problems: Sequence[str]) -> None:
    """Refuses a run that has begun and has no whole checkpoint: it would be begun anew, over the old one."""
    folder, history = run / run_record.CHECKPOINTS, run / run_record.HISTORY
    way_out = (
        f"bring {folder} back from a copy, or choose another --output_dir "
        f"(--init_from={run} takes the weights of its best model)"
    )
    # A later checkpoint than the first one is only begun once the first one is whole.
    problems = problems or [f"ckpt-{step}: its index is missing" for step in checkpoint_files.steps(folder) if step]
    if problems:
        raise UserError(f"no checkpoint of {run} is whole ({'; '.join(problems)}): {way_out}")
    if (run / run_record.BEST_MODEL).exists() or (history.exists() and history.stat().st_size):
        raise UserError(f"{run} holds a run without checkpoints, which cannot be resumed: {way_out}")


def restore_best_model(run: Path, progress: Progress) -> dict[str, dict]:
    """Makes the run's best model that of its checkpoint, if it is damaged, missing or of a later epoch.

    Args:
        run: the run's folder.
        progress: progress in the checkpoint that the run resumes from.

    Returns:
        The entry of the best model in the manifests of later checkpoints; {} if there is none.
    """
    folder, best_model = run / run_record.CHECKPOINTS, run / run_record.BEST_MODEL
    if not progress.has_best_model:
        if best_model.exists():
            best_model.unlink()
            console.warn(
                f"{best_model} was of a later epoch than the checkpoint and is removed; training makes it anew"
            )
        return {}
    for damaged in checkpoint_files.damaged_copies(folder, progress.global_step, best_model):
        copy(best_model, damaged)
    kept = checkpoint_files.best_model(folder, progress.best_step)
    if not kept.exists():  # an earlier version saved it, of which there is no copy
        return {}
    manifest = checkpoint_files.manifest_or_nothing(folder, progress.global_step)
    content = manifest.get(kept.name) or files.describe(kept)
    difference = files.difference(best_model, content)
    if difference:
        copy(kept, best_model)
        console.warn(
            f"{difference}; it is replaced by the best model of the checkpoint, that of step {progress.best_step}"
        )
    return {kept.name: content}


def restore_history(run: Path, progress: Progress) -> None:
    """Makes the complete epochs in the run's history those of the progress, if they differ; later lines stay.

    Args:
        run: the run's folder.
        progress: progress of the run.
    """
    expected = [dict(entry) for entry in progress.history]
    found = _readable_history(run)
    if found is None or found[: len(expected)] != expected:
        write_history(run, expected)
        console.warn(f"{run / run_record.HISTORY} is missing or damaged; it is that of the checkpoint again")


def known_history(run: Path, progress: Progress) -> list[dict]:
    """Returns the entries of a run's history; those of the complete epochs in its progress if it cannot be read."""
    found = _readable_history(run)
    return [dict(entry) for entry in progress.history] if found is None else found


def _readable_history(run: Path) -> list[dict] | None:
    try:
        return run_record.read_history(run)
    except (ValueError, UserError):
        return None


def write_history(run: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Writes the history of a run anew."""
    files.write_text(run / run_record.HISTORY, "".join(json.dumps(entry) + "\n" for entry in entries))


def copy(source: Path, target: Path) -> None:
    """Copies a file; the copy is complete or is not made at all."""
    files.write_atomically(target, lambda temporary: shutil.copyfile(source, temporary))
