"""Reads the records of evaluations: `evaluation.json` of a finished one, `settings.json` of an unfinished one.

Needs no TensorFlow.
"""

from pathlib import Path
from typing import Any

from vgg_keras.inference.protocol import AVERAGES, METHODS, SCORES
from vgg_keras.utils import side_files
from vgg_keras.utils.structures import ANYTHING, SCALAR, TEXT, TRUTH, MapOf, Maybe, Nullable, number, one_of, whole

_PERCENT = number(0, 100)
_OF_EACH_NET = ("nets", "train_scales", "test_scales", "frozen_up_to")
_IMAGES = {
    "data_set": TEXT,
    "split": TEXT,
    "num_images": whole(1),
    "num_classes": whole(1),
    "sha256_of_classes_labels_sizes": TEXT,
}
_RESULT = {
    "nets": [TEXT],
    "train_scales": [TEXT],
    "frozen_up_to": Maybe([TEXT]),
    "test_scales": [[whole(1)]],
    "method": one_of(*METHODS),
    "flip": TRUTH,
    "average": Maybe(one_of(*AVERAGES)),
    "top1_error": _PERCENT,
    "top5_error": _PERCENT,
    "images_per_second": Maybe(number(0)),
    "paper": Maybe(Nullable({"top1_error": _PERCENT, "top5_error": _PERCENT})),
}
_DESCRIPTION = {"settings": MapOf(SCALAR), "images": _IMAGES, "models": [MapOf(ANYTHING)]}
_RESULTS = {"images": _IMAGES, "results": [_RESULT], "settings": Maybe({"average": Maybe(one_of(*AVERAGES))})}


def read_description(path: Path) -> dict[str, Any]:
    """Reads what an unfinished evaluation does: its settings, images and models.

    Raises:
        UserError: the file is missing or damaged.
    """
    return side_files.read_json(path, _DESCRIPTION, f"remove {path.parent}, and evaluate again")


def read_finished(path: Path) -> dict[str, Any]:
    """Reads the record of a finished evaluation, with all that `tasks.evaluation` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _read_results(path, {**_RESULTS, **_DESCRIPTION})


def read_results(path: Path) -> dict[str, Any]:
    """Reads the images and the results of a finished evaluation.

    Raises:
        UserError: the file is missing or damaged.
    """
    record = _read_results(path, _RESULTS)
    return {key: record[key] for key in ("images", "results")}


def _read_results(path: Path, structure: dict) -> dict[str, Any]:
    way_out = f"remove {path.parent}, and evaluate again"
    record = side_files.read_json(path, structure, way_out)
    if not record["results"]:
        raise side_files.damaged(path, "it holds no result", way_out)
    for index, result in enumerate(record["results"]):
        result.setdefault("frozen_up_to", [""] * len(result["nets"]))  # earlier versions did not record it
        if len({len(result[key]) for key in _OF_EACH_NET}) > 1 or not result["nets"]:
            raise side_files.damaged(path, f"results[{index}] does not have the scales of each net", way_out)
        # Earlier versions recorded it for the whole evaluation alone.
        result.setdefault("average", record.get("settings", {}).get("average", SCORES))
    return record
