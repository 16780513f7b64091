"""Names the files of a run's folder and reads them: the record, the label names, the history."""

from collections.abc import Sequence
from pathlib import Path

from vgg_keras.data.labels import CLASS_INDICES, CLASS_NAMES, LABEL_NAMES
from vgg_keras.models.preparation import RANDOM_RESIZED
from vgg_keras.utils import side_files
from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.folder_layout import FolderLayout
from vgg_keras.utils.structures import NUMBER, TEXT, TRUTH, MapOf, Maybe, matching, number, whole

HISTORY = "history.jsonl"
CURVES = "curves.png"
REPORT = "report.html"
BEST_MODEL = "best.keras"
RECORD = "run.json"
CHECKPOINTS = "checkpoints"
# For `tf.train.latest_checkpoint`; the package does not read it.
NEWEST_CHECKPOINT = f"{CHECKPOINTS}/checkpoint"
CACHE = "cache"
FLAGS = "flags.cfg"
SAMPLES = "samples"
TENSORBOARD = "tensorboard"
# All that a run writes under a name of its own.
FILES = (RECORD, FLAGS, LABEL_NAMES, CLASS_INDICES, CLASS_NAMES, HISTORY, CURVES, REPORT, BEST_MODEL, NEWEST_CHECKPOINT)
FOLDERS = (SAMPLES, TENSORBOARD, CHECKPOINTS, CACHE)
LAYOUT = FolderLayout(FILES, FOLDERS)

# A training scale S in pixels, as run.json and the metadata of models hold it.
TRAIN_SCALE = matching(r"[1-9]\d{0,4}(,[1-9]\d{0,4})?", 'a training scale, such as "256" or "256,512"')
# Those parts of the record that are read.
_RECORD = {
    "flags": {
        "train_scale": Maybe(TRAIN_SCALE),
        "crop": Maybe(TEXT),
        "num_outputs": Maybe(whole(0)),
        "input_scaling": Maybe(TEXT),
        "net": Maybe(TEXT),
        "input_size": Maybe(whole(1)),
        "batch_norm": Maybe(TRUTH),
        "width_multiplier": Maybe(number(0)),
        "data_dir": Maybe(TEXT),
        "dataset": Maybe(TEXT),
    },
    "versions": Maybe({"keras": Maybe(matching(r"\d+\..*", "a version"))}),
    "model": Maybe({"num_classes": Maybe(whole(1)), "mean_rgb": Maybe((NUMBER,) * 3)}),
    "data": Maybe({}),
}
_EPOCH = {
    "epoch": whole(1),
    "step": whole(0),
    "complete": TRUTH,
    "learning_rate": number(0),
    **{f"{split}_loss": number(0) for split in ("training", "validation")},
    **{f"{split}_top1_error": number(0, 100) for split in ("training", "validation")},
    "validation_top5_error": Maybe(number(0, 100)),
    "validation_num_images": Maybe(whole(1)),
}
_HISTORY_WAY_OUT = "remove that line, and the curves lack the epoch"
_RESTORE = "restore it from a copy, or train again in another --output_dir"
_LABELS_WAY_OUT = "restore it from a copy, or remove it, and the classes get numbers in place of names"

# Entries of the history that differ when the same run is repeated.
TIMING_KEYS = ("seconds", "images_per_second")


def find_model_file(path: Path) -> Path:
    """Returns the path itself, or that of the run's best model if the path is a folder.

    Raises:
        UserError: the folder holds exported models.
    """
    if not path.is_dir():
        return path
    if not (path / BEST_MODEL).exists() and any(parse_whole(inside.name) is not None for inside in path.iterdir()):
        raise UserError(f"{path} holds exported models; give the run or the .keras file that they were exported from")
    return path / BEST_MODEL


def read_record(folder: Path) -> dict:
    """Reads the record of a run, as `run_dir.write_run_record` wrote it.

    Raises:
        UserError: the record is missing or damaged.
    """
    return side_files.read_json(folder / RECORD, _RECORD, _RESTORE)


def read_train_scale(folder: Path) -> str:
    """Returns a run's training scale S in pixels, as "256" or "256,512"; "" if it has none, or the folder no record.

    Raises:
        UserError: the record is damaged.
    """
    if not (folder / RECORD).exists():
        return ""
    flags = read_record(folder)["flags"]
    if flags.get("crop") == RANDOM_RESIZED:
        return ""
    train_scale = flags.get("train_scale")
    if not train_scale:
        raise side_files.damaged(folder / RECORD, "flags has no train_scale", _RESTORE)
    return ",".join(map(str, sorted({int(side) for side in train_scale.split(",")})))


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
    names = side_files.read_names(beside, _LABELS_WAY_OUT)
    if len(names) != num_classes:
        raise UserError(f"{beside} names {len(names)} classes, the model has {num_classes}; {_LABELS_WAY_OUT}")
    return names


def read_class_names(folder: Path, num_classes: int) -> list[str]:
    """Reads the unique names of the classes beside a model; returns an empty list if the file is missing.

    Args:
        folder: folder of the model.
        num_classes: number of the model's classes.

    Raises:
        UserError: the file does not give each class its index.
    """
    beside = folder / CLASS_INDICES
    if not beside.exists():
        return []
    indices = side_files.read_json(beside, MapOf(whole(0)), _LABELS_WAY_OUT)
    if sorted(indices.values()) != list(range(num_classes)):
        problem = f"its {len(indices)} indices are not those of the model's {num_classes} classes, from 0"
        raise side_files.damaged(beside, problem, _LABELS_WAY_OUT)
    return sorted(indices, key=lambda name: indices[name])


def best_entry(history: Sequence[dict]) -> dict:
    """Returns the entry of the best epoch: of the lowest validation error, and of equal ones of the lowest loss."""
    return min(history, key=lambda entry: (entry["validation_top1_error"], entry["validation_loss"]))


def read_history(folder: Path) -> list[dict]:
    """Reads the history of a run: a dict for each epoch; an incomplete last line is dropped.

    Raises:
        UserError: the file cannot be read, or a line, which the message names, is damaged.
    """
    path = folder / HISTORY
    return side_files.read_json_lines(path, _EPOCH, _HISTORY_WAY_OUT) if path.exists() else []
