"""Names, checks and finds the checkpoints of a run.

CHECKPOINTS/ckpt-STEP.index, ckpt-STEP.data-*  TensorFlow's files: the model, the optimizers, the progress
CHECKPOINTS/best-STEP.keras                    copy of the run's best model, as it was saved at that step
CHECKPOINTS/ckpt-STEP.json                     sizes and SHA-256 of the files that make up the checkpoint; written last
CHECKPOINTS/checkpoint                         for `tf.train.latest_checkpoint`; the package does not read it

Whatever else lies in the folder is the user's: only files with the names that are written here are removed.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from vgg_keras.utils import files, side_files
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.paths import without_wildcards
from vgg_keras.utils.structures import DESCRIBED_FILE, MapOf

_MANIFEST = {"files": MapOf(DESCRIBED_FILE)}
# A number as it is written here, not "064".
_STEP = "(0|[1-9][0-9]*)"
_FILE_OF_STEP = re.compile(rf"ckpt-{_STEP}\.(index|json|data-\d+-of-\d+)")
_DATA = re.compile(rf"ckpt-{_STEP}\.data-\d+-of-\d+")
_BEST_MODEL = re.compile(rf"best-{_STEP}\.keras")
# What a killed process leaves: files of `files.write_atomically`, and those of earlier versions of this package, in
# which TensorFlow wrote into the folder.
_UNFINISHED = re.compile(
    rf"\.(ckpt-{_STEP}|best-{_STEP}|checkpoint)\.incomplete(\.json|\.keras|\.index|\.data-\d+-of-\d+)?"
    rf"|ckpt-{_STEP}\.(index|data-\d+-of-\d+)\.tempstate\d+"
)
_UNFINISHED_FOLDER = re.compile(rf"ckpt-{_STEP}_temp")
_UNFINISHED_PART = re.compile(r"part-\d+-of-\d+\..+")


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
    names = (path.name for path in _entries(folder))
    return sorted({int(found[1]) for found in map(_FILE_OF_STEP.fullmatch, names) if found}, reverse=True)


def best_models(folder: Path) -> list[Path]:
    """Returns the copies of best models, in no order."""
    return [path for path in _entries(folder) if _BEST_MODEL.fullmatch(path.name)]


def require_usable(folder: Path) -> None:
    """Checks that a run may write its checkpoints: there are files, folders or nothing where it writes such.

    Raises:
        UserError: something else has the name of a file or a folder of a checkpoint.
    """
    for path in sorted(_entries(folder)):
        if any(pattern.fullmatch(path.name) for pattern in (_FILE_OF_STEP, _BEST_MODEL, _UNFINISHED)):
            files.require_file(path)
        elif _UNFINISHED_FOLDER.fullmatch(path.name):
            files.require_folder(path)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def files_of(folder: Path, step: int) -> list[Path]:
    """Returns TensorFlow's files of the checkpoint of a step, the index first."""
    matches = ((path, _DATA.fullmatch(path.name)) for path in _entries(folder))
    data = (path for path, found in matches if found and int(found[1]) == step)
    return [folder / f"ckpt-{step}.index", *sorted(data)]


def is_unfinished(folder: Path, step: int) -> bool:
    """Returns whether a process was killed while it wrote the checkpoint of a step: there are data files alone.

    TensorFlow writes the index last. What was whole once has a manifest, and is damaged, not unfinished.
    """
    return not (folder / f"ckpt-{step}.index").exists() and not manifest(folder, step).exists()


def remove_unfinished(folder: Path) -> None:
    """Deletes the incomplete files that a killed process left in a folder of checkpoints."""
    for path in _entries(folder):
        data = _DATA.fullmatch(path.name)
        if _UNFINISHED.fullmatch(path.name) or (data and is_unfinished(folder, int(data[1]))):
            path.unlink()
        elif _UNFINISHED_FOLDER.fullmatch(path.name):
            for part in filter(lambda part: _UNFINISHED_PART.fullmatch(part.name), _entries(path)):
                part.unlink()
            with contextlib.suppress(OSError):  # whatever else is in it stays
                path.rmdir()


def read_manifest(folder: Path, step: int) -> dict[str, dict]:
    """Reads the manifest of a checkpoint: {file name: {"bytes": size, "sha256": hexadecimal digits}}.

    Raises:
        UserError: the file is missing or damaged.
    """
    return side_files.read_json(manifest(folder, step), _MANIFEST, "it belongs to its checkpoint")["files"]


def manifest_or_nothing(folder: Path, step: int) -> dict[str, dict]:
    """Returns what `read_manifest` reads; {} if the manifest is missing or damaged."""
    try:
        return read_manifest(folder, step)
    except UserError:
        return {}


def write_manifest(folder: Path, step: int, described: Mapping[str, Mapping]) -> None:
    """Writes the manifest of a checkpoint, with which it counts.

    Args:
        folder: folder of the checkpoints.
        step: the step.
        described: result of `files.describe` for each file by its name.
    """
    side_files.write_json(manifest(folder, step), {"files": described})


def problem(folder: Path, step: int, original: Path | None = None) -> str | None:
    """Returns what is wrong with the checkpoint of a step, or None if it is whole.

    The files are compared with the manifest. A checkpoint without one, as earlier versions of this package wrote them,
    is whole if TensorFlow reads all of it, which checks the checksums inside.

    Args:
        folder: folder of the checkpoints.
        step: the step.
        original: the run's best model, from which `damaged_copies` can be made anew: they are no problem.
    """
    if not manifest(folder, step).exists():
        return _unreadable(folder, step)
    try:
        kept = read_manifest(folder, step)
    except UserError:
        return f"{manifest(folder, step).name} is damaged"
    differences = {name: files.difference(folder / name, described) for name, described in kept.items()}
    return next((text for name, text in differences.items() if text and not _is_copy(name, kept[name], original)), None)


def damaged_copies(folder: Path, step: int, original: Path) -> list[Path]:
    """Returns the copies of the run's best model in the checkpoint of a step that are damaged, while itself is whole.

    Args:
        folder: folder of the checkpoints.
        step: the step.
        original: the run's best model.
    """
    kept = manifest_or_nothing(folder, step)
    damaged = (name for name, described in kept.items() if files.difference(folder / name, described))
    return [folder / name for name in damaged if _is_copy(name, kept[name], original)]


def _is_copy(name: str, described: Mapping, original: Path | None) -> bool:
    """Returns whether a file of a checkpoint was a copy of the run's best model as that is now."""
    return original is not None and bool(_BEST_MODEL.fullmatch(name)) and not files.difference(original, described)


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


def newest_whole(folder: Path, original: Path | None = None) -> tuple[int | None, list[str]]:
    """Finds the newest checkpoint that is whole; unfinished ones do not count.

    Args:
        folder: folder of the checkpoints.
        original: as in `problem`.

    Returns:
        Its step, or None if none is whole; and for each newer one what is wrong with it, as "ckpt-120: reason".
    """
    problems: list[str] = []
    for step in steps(folder):
        if is_unfinished(folder, step):
            continue
        found = problem(folder, step, original)
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
