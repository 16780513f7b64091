"""Reads the records of evaluations: `evaluation.json` of a finished one, `settings.json` of an unfinished one.

Needs no TensorFlow.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import calibration
from vgg_keras.inference.protocol import AVERAGES, CROP_AND_SQUASH, DENSE, LOCALIZERS_METHODS, METHODS, SCORES
from vgg_keras.models import run_record
from vgg_keras.models.architectures import BOX_REGRESSIONS, CLASSIFICATION, LOCALIZATION, TASKS
from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.structures import (
    ANYTHING,
    SCALAR,
    TEXT,
    TRUTH,
    MapOf,
    Maybe,
    Nullable,
    either,
    number,
    one_of,
    whole,
)

# The value of an evaluation's images that is the same if and only if they, their labels and the classes are.
SAME_IMAGES = "sha256_of_classes_labels_images"
# The same of the boxes of their objects, where these are tested.
SAME_BOXES = "sha256_of_boxes"
# In the place of the former in earlier versions, in which photos of the same sizes counted as the same.
_SAME_SIZES = "sha256_of_classes_labels_sizes"
_PERCENT = number(0, 100)
_OF_EACH_NET = ("nets", "train_scales", "test_scales", "frozen_up_to", "forms", "box_regressions", "methods")
_IMAGES = {
    "data_set": TEXT,
    "split": TEXT,
    "num_images": whole(1),
    "num_classes": whole(1),
    SAME_IMAGES: Maybe(TEXT),
    _SAME_SIZES: Maybe(TEXT),
    SAME_BOXES: Maybe(TEXT),
}
_RESULT = {
    "nets": [TEXT],
    "train_scales": [either(run_record.TRAIN_SCALE, one_of(""))],
    "frozen_up_to": Maybe([TEXT]),
    "forms": Maybe([TEXT]),
    "test_scales": [[whole(1)]],
    "num_images": Maybe(whole(1)),
    "method": one_of(*METHODS, CROP_AND_SQUASH),
    "flip": TRUTH,
    "average": Maybe(one_of(*AVERAGES)),
    "top1_error": _PERCENT,
    "top5_error": _PERCENT,
    "images_per_second": Maybe(number(0)),
    "paper": Maybe(Nullable({"top1_error": _PERCENT, "top5_error": _PERCENT})),
    # Of localizers alone.
    "box_regressions": Maybe([one_of(*BOX_REGRESSIONS)]),
    "methods": Maybe([one_of(*LOCALIZERS_METHODS)]),
    "mean_iou": Maybe(number(0, 1)),
    "classes_per_image": Maybe(whole(1)),
}
_MODELS = [MapOf(ANYTHING)]
# Those that chose the classes for localizers.
_CLASSIFIERS = [
    {
        "path": Maybe(TEXT),
        "sha256": Maybe(TEXT),
        "test_scales": Maybe([whole(1)]),
        "method": Maybe(TEXT),
        "methods": Maybe([TEXT]),
        "flip": Maybe(TRUTH),
        "average": Maybe(one_of(*AVERAGES)),
    }
]
_DESCRIPTION = {"settings": MapOf(SCALAR), "images": _IMAGES, "models": _MODELS, "classifiers": Maybe(_CLASSIFIERS)}
_SETTINGS = {"average": Maybe(one_of(*AVERAGES)), "flip": Maybe(TRUTH), "task": Maybe(one_of(*TASKS))}
_RESULTS = {
    "images": _IMAGES,
    "results": [_RESULT],
    "settings": Maybe(_SETTINGS),
    "classifiers": Maybe(_CLASSIFIERS),
    "calibration": Maybe(calibration.STRUCTURE),
}
# What a description leaves out: earlier versions had one task alone.
_UNSAID = {"task": CLASSIFICATION}
# Flag that determines each part of a description.
_FLAGS = {
    "settings": {"task": "--task", "method": "--method", "flip": "--flip", "average": "--average"},
    "images": {
        "data_set": "the data set (--data_dir, --dataset)",
        "split": "--split",
        "num_images": "the number of images (--max_images)",
        "num_classes": "the number of classes (--data_dir, --dataset)",
    },
}
# Flags that name the files of a description.
_FILES = {"models": "--model", "classifiers": "--classifier"}


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


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Returns in what two descriptions of evaluations differ, in the terms of the flags; none: in nothing that counts.

    A model that was moved is the same, and so are images of another folder.

    Args:
        found: description of the evaluation that a folder holds.
        wanted: description of the evaluation that is asked for.
    """
    told = [
        _told(name, *(described[part].get(key, _UNSAID.get(key)) for described in (found, wanted)))
        for part in _FLAGS
        for key, name in _FLAGS[part].items()
    ]
    for part, flag in _FILES.items():
        told += _differing_files(flag, found.get(part, []), wanted.get(part, []))
    differing = list(dict.fromkeys(filter(None, told)))
    same = all(found[part] == wanted[part] for part in _FLAGS)
    if differing or same:
        return differing
    return [_differing_content(found["images"], wanted["images"])]


def require_same_images(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Checks that saved posteriors or boxes are of the images that are tested.

    Args:
        path: the file.
        found: description of its images.
        wanted: description of the images that are tested.

    Raises:
        UserError: they are of others; the message names the flags that tell which.
    """
    if found != wanted:
        told = [_told(name, found.get(key), wanted.get(key)) for key, name in _FLAGS["images"].items()]
        differing = "; ".join(filter(None, told)) or _differing_content(found, wanted)
        raise UserError(
            f"{path} is of other images than these: {differing}; give the flags that it was computed with, or compute "
            "it again with --save_posteriors"
        )


def _differing_content(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    if _SAME_SIZES in found:
        return "an earlier version made it, which did not tell photos of equal sizes apart"
    only_boxes = found.get(SAME_IMAGES) == wanted.get(SAME_IMAGES)
    return (
        f"the {'boxes of the images' if only_boxes else 'photos, their labels or the classes'} (--data_dir) are others"
    )


def _differing_files(flag: str, found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> list[str]:
    told = [_told(f"the number of {flag.removeprefix('--')}s ({flag})", len(found), len(wanted))]
    for before, after in zip(found, wanted, strict=False):
        told += [_told("--test_scales", before.get("test_scales"), after.get("test_scales"))]
        if _without(before, "path", "test_scales") != _without(after, "path", "test_scales"):
            told += [_told(flag, before.get("path"), after.get("path")) or f"{flag}={after.get('path')} has changed"]
    return told


def _told(name: str, before: object, after: object) -> str:
    return "" if before == after else f"{name} was {before!r}, is {after!r}"


def _without(content: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in names}


def read_results(path: Path) -> dict[str, Any]:
    """Reads the task, the images and the results of a finished evaluation.

    Each result also has "classifiers", the descriptions of those that chose the classes for localizers, and how.

    Raises:
        UserError: the file is missing or damaged.
    """
    record = _read_results(path, _RESULTS)
    results = [{**result, "classifiers": _classifiers(record, result)} for result in record["results"]]
    return {"task": _task(record), "images": record["images"], "results": results}


def _classifiers(record: Mapping[str, Any], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the classifiers of a result, with how they were tested where only the settings tell it."""
    told = {"average": result["average"]}
    if result["method"] == DENSE:  # the flip of the settings is that of the choice of the classes
        told |= {"method": DENSE, "flip": record.get("settings", {}).get("flip", result["flip"])}
    return [one if "methods" in one else {**told, **one} for one in record.get("classifiers", [])]


def known_classifiers(described: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what tells described classifiers from others, wherever their files are and in whatever order they come.

    Args:
        described: descriptions of classifiers, JSON-ready, as a record of an evaluation has them.
    """
    return sorted(json.dumps(_without(one, "path"), sort_keys=True) for one in described)


def _task(record: Mapping[str, Any]) -> str:
    return record.get("settings", {}).get("task", CLASSIFICATION)


def _read_results(path: Path, structure: dict) -> dict[str, Any]:
    way_out = f"remove {path.parent}, and evaluate again"
    record = side_files.read_json(path, structure, way_out)
    if not record["results"]:
        raise side_files.damaged(path, "it holds no result", way_out)
    if record["images"].setdefault(SAME_IMAGES, record["images"].get(_SAME_SIZES)) is None:
        raise side_files.damaged(path, f"images has no {SAME_IMAGES}", way_out)
    for index, result in enumerate(record["results"]):
        if _task(record) == LOCALIZATION and not {"box_regressions", "mean_iou"} <= result.keys():
            raise side_files.damaged(path, f"results[{index}] is none of localizers", way_out)
        _require_method_of(record, index, path, way_out)
        result.setdefault("frozen_up_to", [""] * len(result["nets"]))  # earlier versions did not record it
        if len({len(result[key]) for key in _OF_EACH_NET if key in result}) > 1 or not result["nets"]:
            raise side_files.damaged(path, f"results[{index}] does not have the scales of each net", way_out)
        # Earlier versions recorded these for the whole evaluation alone.
        result.setdefault("num_images", record["images"]["num_images"])
        result.setdefault("average", record.get("settings", {}).get("average", SCORES))
    return record


def _require_method_of(record: Mapping[str, Any], index: int, path: Path, way_out: str) -> None:
    """Checks that the method of a result is one of its task, and that of all its localizers.

    Raises:
        UserError: it is not.
    """
    task, result = _task(record), record["results"][index]
    method, methods = result["method"], result.get("methods")
    possible = (*LOCALIZERS_METHODS, CROP_AND_SQUASH) if task == LOCALIZATION else METHODS
    if method not in possible or (methods and "+".join(sorted(set(methods))) != method):
        told = f"{method!r}, its localizers' {methods}" if methods else repr(method)
        raise side_files.damaged(path, f"the method of results[{index}] is {told}: none of {task}", way_out)
