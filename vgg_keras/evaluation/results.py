"""Turns results of evaluations into JSON, and into tables like the paper's (arXiv:1409.1556, Tables 3 to 6)."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import rich.box
import tensorflow as tf
from rich.table import Table

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation.evaluator import Result
from vgg_keras.inference.protocol import BOTH, CENTER_CROP, DENSE, MULTI_CROP
from vgg_keras.utils.metrics import top_k_errors

RECORD = "evaluation.json"
# Identifies the validation split of ILSVRC-2012, on which the paper measures its errors.
_ILSVRC = {"data_set": "imagenet2012", "split": "validation", "num_images": 50_000, "num_classes": 1000}
COLUMNS = ("net", "train S", "test Q", "method", "top-1 err. %", "top-5 err. %", "paper's", "images/s")
METHOD_NAMES = {
    DENSE: "dense",
    MULTI_CROP: "multi-crop",
    BOTH: "multi-crop & dense",
    CENTER_CROP: "centre crop",
}


def result_record(result: Result) -> dict:
    """Returns a result as `evaluation.json` stores it."""
    published = result.published()
    papers = (
        {"table": published.table, "top1_error": published.top1, "top5_error": published.top5} if published else None
    )
    score = dataclasses.asdict(result.score)
    return {
        "nets": [trained.net for trained in result.models],
        "train_scales": [trained.train_scale for trained in result.models],
        "test_scales": [list(scales) for scales in result.test_scales],
        "method": result.method,
        "flip": result.flip,
        **score,
        "top1_mistakes": round(score["top1_error"] * score["num_images"] / 100),
        "top5_mistakes": round(score["top5_error"] * score["num_images"] / 100),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second(),
        "paper": papers,
    }


def class_records(posteriors: np.ndarray, manifest: SplitManifest) -> list[dict]:
    """Returns the number of images and the errors of each class as `evaluation.json` stores them.

    Args:
        posteriors: (N, classes) float32.
        manifest: the images.

    Returns:
        One record for each class, in the order of the class indices; errors in percent, None for a class without
        images.
    """
    labels, names = manifest.labels, manifest.data.label_names
    count = np.bincount(labels, minlength=len(names))
    top1, top5 = (
        np.bincount(labels, weights=errors, minlength=len(names)) for errors in top_k_errors(posteriors, labels).numpy()
    )
    return [
        {
            "name": name,
            "images": int(count[index]),
            "top1_mistakes": int(top1[index]),
            "top5_mistakes": int(top5[index]),
            "top1_error": 100 * top1[index] / count[index] if count[index] else None,
            "top5_error": 100 * top5[index] / count[index] if count[index] else None,
        }
        for index, name in enumerate(names)
    ]


def confusion_matrix(posteriors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts the images of each class (row) by their predicted class (column).

    Args:
        posteriors: (N, classes) float32.
        labels: (N,) int32.

    Returns:
        (classes, classes) int64.
    """
    num_classes = posteriors.shape[1]
    return tf.math.confusion_matrix(labels, posteriors.argmax(axis=1), num_classes, dtype=tf.int64).numpy()


def confusions(posteriors: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Returns [class, predicted class, images] for each pair that occurs, as `evaluation.json` stores it."""
    matrix = confusion_matrix(posteriors, labels)
    return [[int(row), int(column), int(matrix[row, column])] for row, column in np.argwhere(matrix)]


def is_ilsvrc(identity: dict) -> bool:
    """Returns whether images, described by `SplitManifest.identity`, are those on which the paper measures errors."""
    return all(identity[key] == value for key, value in _ILSVRC.items())


def data_note(identity: dict) -> str:
    """Returns a warning against comparing errors on other images with the paper's; "" for the paper's own images."""
    if is_ilsvrc(identity):
        return ""
    return (
        "The paper's figures are of ILSVRC-2012 validation (50,000 images, 1,000 classes); these are "
        f"{identity['num_images']:,} images of {identity['data_set']}, split {identity['split']}, "
        f"{identity['num_classes']:,} classes."
    )


def format_train_scale(train_scale: str) -> str:
    """Returns a training scale as the paper writes it: 256, [256;512], or ? if it is unknown."""
    return f"[{train_scale.replace(',', ';')}]" if "," in train_scale else train_scale or "?"


def format_errors(top1: float, top5: float) -> str:
    """Returns two errors in percent as the paper writes them: 24.8/7.5."""
    return f"{top1:.1f}/{top5:.1f}"


def _join_different(parts: Iterable[str]) -> str:
    """Joins the cells of fused models with " + ", or returns a single cell if they are all the same."""
    parts = list(parts)
    return parts[0] if len(set(parts)) == 1 else " + ".join(parts)


def net_cells(nets: Sequence[str], train_scales: Sequence[str], test_scales: Sequence[Sequence[int]]) -> list[str]:
    """Returns a row's first three cells: nets, S and Q."""
    return [
        " + ".join(nets),
        _join_different(map(format_train_scale, train_scales)),
        _join_different(", ".join(map(str, scales)) for scales in test_scales),
    ]


def table_row(record: dict) -> list[str]:
    """Returns the cells of COLUMNS for a result, described by `result_record`."""
    papers = record["paper"]
    mirrored = "" if record["flip"] else ", no mirror"
    rate = record["images_per_second"]
    return [
        *net_cells(record["nets"], record["train_scales"], record["test_scales"]),
        METHOD_NAMES[record["method"]] + mirrored,
        f"{record['top1_error']:.2f}",
        f"{record['top5_error']:.2f}",
        format_errors(papers["top1_error"], papers["top5_error"]) if papers else "",
        f"{rate:.3g}" if rate else "",
    ]


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def console_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Returns a table for the console."""
    table = Table(*columns, title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for cells in rows:
        table.add_row(*cells)
    return table
