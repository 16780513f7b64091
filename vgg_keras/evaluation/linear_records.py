"""Reads and writes the results of linear SVMs on descriptors, the JSON file beside the descriptors.

Needs no TensorFlow.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.inference.protocol import AVERAGE, POWERS, STACK
from vgg_keras.models import run_record
from vgg_keras.utils import side_files
from vgg_keras.utils.structures import TEXT, TRUTH, Maybe, Nullable, either, number, one_of, whole

# Name of the files that `report` collects.
FILE = "features.json"
# TFDS's description of a data set, beside which a file of that name tells its features.
DATASET_INFO = "dataset_info.json"
# What was described of each image, where a data set has boxes of persons and their actions (appendix B, Table 12).
IMAGE, BOX = "image", "box"
IMAGE_AND_BOX = f"{IMAGE},{BOX}"
REGIONS = (IMAGE, BOX, IMAGE_AND_BOX)

_PERCENT = number(0, 100)
_STRUCTURE = {
    "mean_class_recall": Nullable(_PERCENT),
    "mean_class_recall_std": Maybe(Nullable(number(0))),
    "mean_average_precision": Maybe(Nullable(_PERCENT)),
    "num_images": whole(1),
    "num_training_images": whole(1),
    "splits": Maybe([{"mean_class_recall": _PERCENT}]),
    "nets": [TEXT],
    "train_scales": [either(run_record.TRAIN_SCALE, one_of(""))],
    "test_scales": [[whole(1)]],
    "images": [{"data_set": TEXT, "split": TEXT, "num_images": whole(1), "num_classes": whole(1)}],
    "voc_year": Maybe(Nullable(whole(1))),
    "settings": {
        "layer": TEXT,
        "power": one_of(*POWERS),
        "combine": one_of(AVERAGE, STACK),
        "flip": TRUTH,
        "train_per_class": whole(0),
        "test_per_class": whole(0),
    },
    "described": Maybe(one_of(*REGIONS)),
}
_WAY_OUT = "compute it again: vgg_keras.features --classifier"


def write(path: Path, result: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Writes a result, complete or not at all.

    Args:
        path: the JSON file.
        result: the figures, such as a `LinearResult` as a dictionary.
        context: of what they are: "nets", "train_scales", "test_scales", "images", "settings", and "described".

    Raises:
        OSError: the file cannot be written.
    """
    side_files.write_json(path, {**result, **context})


def read(path: Path) -> dict[str, Any]:
    """Reads what `write` wrote.

    Raises:
        UserError: the file is missing or damaged, or an earlier version wrote it, which did not say of what it is.
    """
    record = side_files.read_json(path, _STRUCTURE, _WAY_OUT)
    problem = ""
    if not record["nets"] or len({len(record[key]) for key in ("nets", "train_scales", "test_scales")}) > 1:
        problem = "it does not have the scales of each net"
    elif not record["images"]:
        problem = "it names no images"
    elif measured(record)[1] is None and "mean_average_precision" not in record:
        problem = "it holds neither mean_class_recall nor mean_average_precision"
    if problem:
        raise side_files.damaged(path, problem, _WAY_OUT)
    return record


def measured(record: Mapping[str, Any]) -> tuple[str, float | None, float | None]:
    """Returns the name of a result's measure, its value in percent, and its standard deviation if it has one.

    The value is None if the tested images have no labels.
    """
    precision = record.get("mean_average_precision")
    if precision is not None:
        return "mAP", precision, None
    return "mean class recall", record["mean_class_recall"], record.get("mean_class_recall_std")
