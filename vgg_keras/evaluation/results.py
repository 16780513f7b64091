"""Results of evaluations as JSON and as tables in the form of the paper's (arXiv:1409.1556, Tables 3 to 6)."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import rich.box
import tensorflow as tf
from rich.table import Table

from vgg_keras.evaluation import published
from vgg_keras.evaluation.evaluator import ImagesUnderTest, Result
from vgg_keras.utils import cli
from vgg_keras.utils.metrics import mistakes

RECORD = "evaluation.json"
# What ILSVRC-2012's validation split is.
_ILSVRC = {"data_set": "imagenet2012", "split": "validation", "num_images": 50_000, "num_classes": 1000}
COLUMNS = ("net", "train S", "test Q", "method", "top-1 err. %", "top-5 err. %", "paper's", "images/s")
METHOD_NAMES = {
    published.DENSE: "dense",
    published.MULTI_CROP: "multi-crop",
    published.BOTH: "multi-crop & dense",
    published.CENTER_CROP: "centre crop",
}


def result_record(result: Result) -> dict:
    """Returns a result as JSON has it."""
    row = result.published()
    score = dataclasses.asdict(result.score)
    return {
        "nets": [model.trained.net for model in result.models],
        "train_scales": [model.trained.train_scale for model in result.models],
        "test_scales": [list(scales) for scales in result.test_scales],
        "method": result.method,
        "flip": result.flip,
        **score,
        "top1_mistakes": round(score["top1_error"] * score["num_images"] / 100),
        "top5_mistakes": round(score["top5_error"] * score["num_images"] / 100),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second(),
        "paper": row
        and {"table": row.table, "top1_error": row.top1, "top5_error": row.top5},
    }  # fmt: skip


def class_records(posteriors: np.ndarray, images: ImagesUnderTest) -> list[dict]:
    """Returns the images and mistakes of each class, in the order of the indices, as JSON has it."""
    labels, names = images.survey.labels, images.data.label_names
    count = np.bincount(labels, minlength=len(names))
    top1, top5 = (
        np.bincount(labels, weights=row, minlength=len(names)) for row in mistakes(posteriors, labels).numpy()
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
    """Returns (classes, classes) int64: images of each class (row) by the label that they were given (column)."""
    num_classes = posteriors.shape[1]
    return tf.math.confusion_matrix(labels, posteriors.argmax(axis=1), num_classes, dtype=tf.int64).numpy()


def confusions(posteriors: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Returns (class, label given, images) of each pair that occurs, as JSON has it."""
    matrix = confusion_matrix(posteriors, labels)
    return [[int(row), int(column), int(matrix[row, column])] for row, column in np.argwhere(matrix)]


def is_ilsvrc(identity: dict) -> bool:
    """Returns whether images are the whole of what the paper's errors are of."""
    return all(identity[key] == value for key, value in _ILSVRC.items())


def data_note(identity: dict) -> str:
    """Returns a sentence on how the paper's figures compare, for data that is not theirs; "" for theirs."""
    if is_ilsvrc(identity):
        return ""
    return (
        "The paper's figures are of ILSVRC-2012 validation (50,000 images, 1,000 classes); these are "
        f"{identity['num_images']:,} images of {identity['data_set']}, split {identity['split']}, "
        f"{identity['num_classes']:,} classes."
    )


def scale_name(train_scale: str) -> str:
    """Returns a training scale as the paper writes it: 256, [256;512], or ? where it is unknown."""
    return f"[{train_scale.replace(',', ';')}]" if "," in train_scale else train_scale or "?"


def errors_name(top1: float, top5: float) -> str:
    """Returns two errors as the paper gives them: 24.8/7.5."""
    return f"{top1:.1f}/{top5:.1f}"


def _joined(parts: Iterable[str]) -> str:
    """Joins what differs between fused models; says once what does not."""
    parts = list(parts)
    return parts[0] if len(set(parts)) == 1 else " + ".join(parts)


def names(nets: Sequence[str], train_scales: Sequence[str], test_scales: Sequence[Sequence[int]]) -> list[str]:
    """Returns the cells that name nets, S and Q."""
    return [
        " + ".join(nets),
        _joined(map(scale_name, train_scales)),
        _joined(", ".join(map(str, scales)) for scales in test_scales),
    ]


def row(record: dict) -> list[str]:
    """Returns a result's row, the cells of `COLUMNS`."""
    papers = record["paper"]
    views = "" if record["flip"] else ", no mirror"
    rate = record["images_per_second"]
    return [
        *names(record["nets"], record["train_scales"], record["test_scales"]),
        METHOD_NAMES[record["method"]] + views,
        f"{record['top1_error']:.2f}",
        f"{record['top5_error']:.2f}",
        errors_name(papers["top1_error"], papers["top5_error"]) if papers else "",
        f"{rate:.3g}" if rate else "",
    ]


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table on the console; the first few columns name, the others count."""
    table = Table(*columns, title=title, title_justify="left", box=rich.box.SIMPLE_HEAD)
    for cells in rows:
        table.add_row(*cells)
    cli.print_table(table)
