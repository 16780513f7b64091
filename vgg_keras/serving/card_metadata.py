"""Writes the head of a model card in YAML, by which the Hugging Face Hub lists and finds models.

What is not known is left out. So is the licence: that of the weights depends on the data, and whoever publishes them
has to say it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.training.config import DRAWN_FLOWERS
from vgg_keras.utils.escaping import visible

# The Hub's names of the tasks: https://huggingface.co/tasks.
_CLASSIFICATION_TASK, _LOCALIZATION_TASK = "image-classification", "object-detection"
_TAGS = ("vgg", "tensorflow", "saved-model", "arxiv:1409.1556")
# Names of data sets of TensorFlow Datasets, before a configuration or a version. A folder has none that others know,
# and the name of one in another catalogue, such as huggingface:cifar10, does not match.
_KNOWN_NAME = re.compile(r"[a-z]\w*(?=/|:\d|$)")


def front_matter(record: Mapping, flags: Mapping, best: Mapping | None) -> str:
    """Returns the head of a model card, between two lines of dashes.

    Args:
        record: content of `export.json`.
        flags: flags of the training; empty if they are unknown.
        best: entry of the training's history whose weights were exported; None if it is unknown.
    """
    localizes = record.get("task") == LOCALIZATION
    task = _LOCALIZATION_TASK if localizes else _CLASSIFICATION_TASK
    metrics = _metrics(best, record["num_classes"], localizes=localizes) if best else []
    head: dict[str, Any] = {
        "library_name": "keras",
        "pipeline_tag": task,
        "tags": [*_TAGS, f"vgg-{visible(record['net']).lower()}"],
    }
    if known := _known_name(flags):
        head["datasets"] = [known]
    if metrics:
        head["metrics"] = ["accuracy"]
        result = {"task": {"type": task}, "dataset": _data_set(flags), "metrics": metrics}
        head["model-index"] = [{"name": visible(record["name"]), "results": [result]}]
    return f"---\n{_yaml(head)}---\n"


def _metrics(best: Mapping, num_classes: int, *, localizes: bool) -> list[dict]:
    """Returns the accuracies on the validation split as the Hub knows them, fractions from 0 to 1."""
    shown = {"Accuracy of boxes (IoU above 0.5, the class known)" if localizes else "Top-1 accuracy": "top1"}
    if not localizes and num_classes > 5:
        shown["Top-5 accuracy"] = "top5"
    errors = {name: best.get(f"validation_{k}_error") for name, k in shown.items()}
    return [
        {"type": "accuracy", "name": name, "value": round(1 - error / 100, 6)}
        for name, error in errors.items()
        if error is not None
    ]


def _known_name(flags: Mapping) -> str:
    """Returns the name of the data set of the training in TensorFlow Datasets; "" if it is a folder's."""
    found = _KNOWN_NAME.match(flags.get("dataset") or "")
    return found[0] if found and found[0] != DRAWN_FLOWERS else ""


def _data_set(flags: Mapping) -> dict:
    """Returns the data of the validation; a folder is named without those around it, which tell others nothing."""
    known = _known_name(flags)
    folder = visible(PurePath(flags.get("data_dir") or "").name)
    split = visible(str(flags.get("validation_split", "validation")))
    return {"name": known or folder or "unknown", "type": known or "imagefolder", "split": split}


def _yaml(value: Any, indent: str = "") -> str:
    """Returns a structure of dicts, lists, texts and numbers as YAML; texts and numbers are written as in JSON.

    >>> print(_yaml({"a": 1, "b": [{"c": "x: y", "d": ["e"]}]}), end="")
    a: 1
    b:
      - c: "x: y"
        d:
          - "e"
    """
    lines = []
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        head = f"{indent}- " if key is None else f"{indent}{key}:"
        if not isinstance(item, (dict, list)):
            lines.append(f"{head}{'' if key is None else ' '}{json.dumps(item, ensure_ascii=False)}\n")
        elif key is None:  # the first line of the structure stands behind the dash
            lines.append(head + _yaml(item, f"{indent}  ").removeprefix(f"{indent}  "))
        else:
            lines.append(f"{head}\n" + _yaml(item, f"{indent}  "))
    return "".join(lines)
