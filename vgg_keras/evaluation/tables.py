"""Turns the records of evaluations into tables like the paper's (arXiv:1409.1556, Tables 3 to 6)."""

from collections.abc import Iterable, Sequence

from vgg_keras.evaluation.published import protocol_differences
from vgg_keras.inference.protocol import BOTH, CENTER_CROP, DENSE, MULTI_CROP, SCORES, TrainedNet
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils.display import ShownTable, has_top5_error
from vgg_keras.utils.escaping import markdown
from vgg_keras.utils.words import counted

RECORD = "evaluation.json"
REPORT = "report.md"
# Identifies the validation split of ILSVRC-2012, on which the paper measures its errors.
_ILSVRC = {"data_set": "imagenet2012", "split": "validation", "num_images": 50_000, "num_classes": 1000}
TOP1, TOP5, PAPER, RATE = "top-1 err. %", "top-5 err. %", "paper's", "images/s"
COLUMNS = ("net", "train S", "test Q", "method", TOP1, TOP5, PAPER, RATE)
METHOD_NAMES = {
    DENSE: "dense",
    MULTI_CROP: "multi-crop",
    BOTH: "multi-crop & dense",
    CENTER_CROP: "centre crop",
    SQUASH: "squashed",
}


def is_ilsvrc(identity: dict) -> bool:
    """Returns whether images, described by `SplitManifest.identity`, are those on which the paper measures errors."""
    return all(identity[key] == value for key, value in _ILSVRC.items())


def data_note(identity: dict) -> str:
    """Returns a warning against comparing errors on other images with the paper's; "" for the paper's own images."""
    if is_ilsvrc(identity):
        return ""
    return (
        "The paper's figures are of ILSVRC-2012 validation (50,000 images, 1,000 classes); these are "
        f"{counted(identity['num_images'], 'image')} of {identity['data_set']}, split {identity['split']}, "
        f"{counted(identity['num_classes'], 'class', 'classes')}."
    )


def format_train_scale(train_scale: str) -> str:
    """Returns a training scale as the paper writes it: 256, [256;512], or ? if it is unknown."""
    return f"[{train_scale.replace(',', ';')}]" if "," in train_scale else train_scale or "?"


def format_errors(top1: float, top5: float) -> str:
    """Returns two errors in percent as the paper writes them: 24.8/7.5."""
    return f"{top1:.1f}/{top5:.1f}"


def join_different(parts: Iterable[str]) -> str:
    """Joins the cells of fused models with " + ", or returns a single cell if they are all the same."""
    parts = list(parts)
    return parts[0] if len(set(parts)) == 1 else " + ".join(parts)


def trained_nets(record: dict) -> tuple[TrainedNet, ...]:
    """Returns the nets of a result, described by `result_record`."""
    unknown = [""] * len(record["nets"])
    frozen, forms = (record.get(key) or unknown for key in ("frozen_up_to", "forms"))
    return tuple(map(TrainedNet, record["nets"], record["train_scales"], frozen, forms))


def _net_name(trained: TrainedNet) -> str:
    notes = ["FC"] * bool(trained.frozen_up_to) + [trained.form] * bool(trained.form)
    return f"{trained.net} ({', '.join(notes)})" if notes else trained.net


def net_cells(nets: Sequence[TrainedNet], test_scales: Sequence[Sequence[int]]) -> list[str]:
    """Returns a row's first three cells: nets, S and Q."""
    return [
        " + ".join(map(_net_name, nets)),
        join_different(format_train_scale(trained.train_scale) for trained in nets),
        join_different(", ".join(map(str, scales)) for scales in test_scales),
    ]


def table_row(record: dict) -> list[str]:
    """Returns the cells of COLUMNS for a result, described by `result_record`."""
    papers = record.get("paper")
    method, average = record["method"], record.get("average", SCORES)
    differences = protocol_differences(method, flip=record["flip"], average=average)
    rate = record.get("images_per_second")
    return [
        *net_cells(trained_nets(record), record["test_scales"]),
        ", ".join([METHOD_NAMES[method], *differences]),
        f"{record['top1_error']:.2f}",
        f"{record['top5_error']:.2f}",
        format_errors(papers["top1_error"], papers["top5_error"]) if papers else "",
        f"{rate:.3g}" if rate else "",
    ]


def without_column(
    columns: Sequence[str], rows: Iterable[Sequence[str]], name: str
) -> tuple[list[str], list[list[str]]]:
    """Leaves a column out of a table; returns the columns and the rows."""
    kept = [index for index, column in enumerate(columns) if column != name]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def without_empty_top5(
    columns: Sequence[str], rows: Iterable[Sequence[str]], num_classes: int
) -> tuple[list[str], list[list[str]]]:
    """Leaves the column TOP5 out of a table where the top-5 error is always zero; returns the columns and the rows."""
    return without_column(columns, rows, "" if has_top5_error(num_classes) else TOP5)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of texts, which may hold any characters, as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(map(markdown, line)) + " |\n" for line in lines)


def results_table(record: dict) -> ShownTable:
    """Returns the results of an evaluation as a table.

    Args:
        record: content of `evaluation.json`.
    """
    images = record["images"]
    title = f"{images['data_set']}, {images['split']}: {counted(images['num_images'], 'image')}"
    columns, rows = without_empty_top5(COLUMNS, map(table_row, record["results"]), images["num_classes"])
    if not is_ilsvrc(images):  # the paper's errors are of other images
        columns, rows = without_column(columns, rows, PAPER)
    return ShownTable(title, columns, rows)
