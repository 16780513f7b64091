"""Names the files of a run's folder and reads them: the record, the label names, the history."""

import json
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.utils.errors import UserError

HISTORY = "history.jsonl"
CURVES = "curves.png"


BEST_MODEL = "best.keras"


RECORD = "run.json"


CHECKPOINTS = "checkpoints"


CACHE = "cache"
FLAGS = "flags.cfg"
SAMPLES = "samples"
TENSORBOARD = "tensorboard"


# Entries of the history that differ when the same run is repeated.
TIMING_KEYS = ("seconds", "images_per_second")


def find_model_file(path: Path) -> Path:
    """Returns the path itself, or that of the run's best model if the path is a folder.

    Raises:
        UserError: the folder holds exported models.
    """
    if not path.is_dir():
        return path
    if not (path / BEST_MODEL).exists() and any(inside.name.isdigit() for inside in path.iterdir()):
        raise UserError(f"{path} holds exported models; give the run or the .keras file that they were exported from")
    return path / BEST_MODEL


def read_record(folder: Path) -> dict:
    """Reads the record of a run, as `run_dir.write_run_record` wrote it.

    Raises:
        UserError: the record is missing or damaged.
    """
    record = folder / RECORD
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{record} is missing or damaged: {error}") from error


def read_train_scale(folder: Path) -> str:
    """Returns a run's training scale S in pixels, as "256" or "256,512"; "" if the folder has no record.

    Raises:
        UserError: the record is damaged.
    """
    if not (folder / RECORD).exists():
        return ""
    try:
        scales = {int(side) for side in read_record(folder)["flags"]["train_scale"].split(",")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / RECORD} is damaged: it should hold the flags of a run, with train_scale") from error
    return ",".join(map(str, sorted(scales)))


def read_label_names(folder: Path, num_classes: int) -> list[str]:
    """Reads the label names beside a model; returns an empty list if the file is missing.

    Args:
        folder: folder of the model.
        num_classes: number of the model's classes.

    Raises:
        UserError: the file does not have one name for each class.
    """
    beside = folder / LABEL_NAMES
    if not beside.exists():
        return []
    names = beside.read_text(encoding="utf-8").splitlines()
    if len(names) != num_classes:
        raise UserError(f"{beside} names {len(names)} classes, the model has {num_classes}")
    return names


def best_entry(history: Sequence[dict]) -> dict:
    """Returns the entry of the best epoch: of the lowest validation error, and of equal ones of the lowest loss."""
    return min(history, key=lambda entry: (entry["validation_top1_error"], entry["validation_loss"]))


def read_history(folder: Path) -> list[dict]:
    """Reads the history of a run: a dict for each epoch; an incomplete last line is dropped.

    Raises:
        ValueError: a line is not JSON.
    """
    path = folder / HISTORY
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
