"""Names, checks and finds the checkpoints of a run.

CHECKPOINTS/ckpt-STEP.index, ckpt-STEP.data-*  TensorFlow's files: the model, the optimizers, the progress
CHECKPOINTS/best-STEP.keras                    copy of the run's best model, as it was saved at that step
CHECKPOINTS/ckpt-STEP.json                     sizes and SHA-256 of the files that make up the checkpoint; written last
CHECKPOINTS/checkpoint                         for `tf.train.latest_checkpoint`; the package does not read it
"""

import re
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from vgg_keras.utils import files, side_files
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.paths import without_wildcards
from vgg_keras.utils.structures import DESCRIBED_FILE, MapOf

_MANIFEST = {"files": MapOf(DESCRIBED_FILE)}
_FILE_OF_STEP = re.compile(r"ckpt-(\d+)\.(index|json|data-\d+-of-\d+)")


def prefix(folder: Path, step: int) -> Path:
    """Returns the path of the checkpoint of a step, which its files' names begin with."""
    return folder / f"ckpt-{step}"


def best_model(folder: Path, step: int) -> Path:
    """Returns the path of the copy of the best model that was saved at a step."""
    return folder / f"best-{step}.keras"


def manifest(folder: Path, step: int) -> Path:
    """Returns the path of the file that lists what makes up the checkpoint of a step."""
    return folder / f"ckpt-{step}.json"


def steps(folder: Path) -> list[int]:
    """Returns the steps of which there is any file of a checkpoint, newest first."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted({int(found[1]) for found in map(_FILE_OF_STEP.fullmatch, names) if found}, reverse=True)


def files_of(folder: Path, step: int) -> list[Path]:
    """Returns TensorFlow's files of the checkpoint of a step, the index first."""
    data = (path for path in folder.iterdir() if path.name.startswith(f"ckpt-{step}.data-"))
    return [folder / f"ckpt-{step}.index", *sorted(data)]


def read_manifest(folder: Path, step: int) -> dict[str, dict]:
    """Reads the manifest of a checkpoint: {file name: {"bytes": size, "sha256": hexadecimal digits}}.

    Raises:
        UserError: the file is missing or damaged.
    """
    return side_files.read_json(manifest(folder, step), _MANIFEST, "it belongs to its checkpoint")["files"]


def write_manifest(folder: Path, step: int, described: Mapping[str, Mapping]) -> None:
    """Writes the manifest of a checkpoint, with which it counts.

    Args:
        folder: folder of the checkpoints.
        step: the step.
        described: result of `files.describe` for each file by its name.
    """
    side_files.write_json(manifest(folder, step), {"files": described})


def problem(folder: Path, step: int) -> str | None:
    """Returns what is wrong with the checkpoint of a step, or None if it is whole.

    The files are compared with the manifest. A checkpoint without one, as earlier versions of this package wrote them,
    is whole if TensorFlow reads all of it, which checks the checksums inside.
    """
    if not manifest(folder, step).exists():
        return _unreadable(folder, step)
    try:
        kept = read_manifest(folder, step)
    except UserError:
        return f"{manifest(folder, step).name} is damaged"
    return next((text for name in kept if (text := files.difference(folder / name, kept[name]))), None)


def _unreadable(folder: Path, step: int) -> str | None:
    absent = next((path for path in files_of(folder, step) if not path.exists()), None)
    if absent:
        return f"{absent.name} is missing"
    try:
        with without_wildcards(folder) as plain:
            reader = tf.train.load_checkpoint(str(prefix(plain, step)))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    except Exception as error:  # TensorFlow's reader raises errors of many kinds for a damaged file
        return f"its files are damaged ({reason(error)})"
    return None


def newest_whole(folder: Path) -> tuple[int | None, list[str]]:
    """Finds the newest checkpoint that is whole.

    Returns:
        Its step, or None if none is whole; and for each newer one what is wrong with it, as "ckpt-120: reason".
    """
    problems: list[str] = []
    for step in steps(folder):
        found = problem(folder, step)
        if found is None:
            return step, problems
        problems.append(f"ckpt-{step}: {found}")
    return None, problems


def restore(folder: Path, step: int, checkpoint: tf.train.Checkpoint) -> None:
    """Restores objects from the checkpoint of a step.

    Args:
        folder: folder of the checkpoints.
        step: the step.
        checkpoint: the objects; the files may hold more, such as the counter of earlier versions of this package.

    Raises:
        UserError: the checkpoint does not fit the objects.
    """
    try:
        with without_wildcards(folder) as plain:
            status = checkpoint.read(str(prefix(plain, step)))
            status.expect_partial().assert_existing_objects_matched()
    except (ValueError, TypeError, KeyError, AssertionError, tf.errors.OpError) as error:
        raise UserError(f"{prefix(folder, step)} does not fit: {reason(error)}") from error
