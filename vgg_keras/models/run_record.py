"""Reads what a run left in its folder: its record, label names and history."""

import json
from pathlib import Path

from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.utils.cli import UserError

HISTORY = "history.jsonl"


BEST_MODEL = "best.keras"


RECORD = "run.json"


CHECKPOINTS = "checkpoints"


CACHE = "cache"
FLAGS = "flags.cfg"
SAMPLES = "samples"
TENSORBOARD = "tensorboard"


# Entries of the history that a repetition of the run does not reproduce.
TIMING_KEYS = ("seconds", "images_per_second")


def find_model_file(path: Path) -> Path:
    """Returns the best model of a run where the path is the run's folder, else the path."""
    return path / BEST_MODEL if path.is_dir() else path


def read_record(folder: Path) -> dict:
    """Reads what `start` wrote.

    Raises:
        UserError: the record is missing or damaged.
    """
    record = folder / RECORD
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{record} is missing or damaged: {error}") from error


def read_train_scale(folder: Path) -> str:
    """Returns the training scale of a run as `--train_scale` has it, or "" where no record tells.

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
    """Returns the label names beside a model; where there are none "class 0", "class 1", ...

    Raises:
        UserError: they are of another number of classes.
    """
    beside = folder / LABEL_NAMES
    if not beside.exists():
        return [f"class {index}" for index in range(num_classes)]
    names = beside.read_text(encoding="utf-8").splitlines()
    if len(names) != num_classes:
        raise UserError(f"{beside} names {len(names)} classes, the model has {num_classes}")
    return names


def read_history(folder: Path) -> list[dict]:
    """Reads the history of a run: one dict an epoch; a last line that was cut off is dropped."""
    path = folder / HISTORY
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
