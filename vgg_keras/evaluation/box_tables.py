"""Turns the results of localizers into tables like the paper's (arXiv:1409.1556, app. A, Tables 8 to 10)."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from vgg_keras.evaluation import tables
from vgg_keras.evaluation.classifier_names import Classifiers, classifiers_of
from vgg_keras.evaluation.mistakes import MarkedResult
from vgg_keras.evaluation.published import PAPER_LADDER
from vgg_keras.evaluation.published_boxes import (
    PUBLISHED_BOXES,
    BoxKey,
    PublishedBoxes,
    box_key,
    find_published_boxes,
)
from vgg_keras.inference.protocol import CENTER_CROP, CROP_AND_SQUASH, DENSE, TrainedNet
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.words import counted

_KNOWN_CLASS, _BEST_CLASSES = "true class", "the {}best classes"
_VIEWS = {DENSE: "dense", CENTER_CROP: "centre crop", SQUASH: "squashed"}
_VIEWS[CROP_AND_SQUASH] = f"{_VIEWS[CENTER_CROP]} and {_VIEWS[SQUASH]}"
TITLES = {
    8: "Table 8: localization, the true class on one centre crop",
    9: "Table 9: localization, five classes densely",
    10: "Table 10: localization, against others",
}
_CLASSIFIER, _ERROR = "classifier", "localization err. %"
_COLUMNS = (
    *("net", "train S", "test Q", "method", tables.TOP1, tables.TOP5),
    *("mean IoU", tables.PAPER, tables.RATE),
)
_PAPERS_TEST = "paper's on the test set"
_PAPERS_COLUMNS = ("net", "train S", "test Q", _ERROR, "paper's", _PAPERS_TEST)


def _net_cells(nets: Sequence[TrainedNet], kinds: Sequence[str], test_scales: Sequence[Sequence[int]]) -> list[str]:
    """Returns a row's first three cells: nets with SCR or PCR, S and Q; "(FC)" if only the FC layers were tuned."""
    named = [
        dataclasses.replace(trained, net=f"{trained.net} {kind.upper()}")
        for trained, kind in zip(nets, kinds, strict=True)
    ]
    return tables.net_cells(named, test_scales)


def has_several_boxes(record: Mapping[str, Any]) -> bool:
    """Returns whether a result has boxes of several classes on an image: if not, its top-5 error is the top-1 error."""
    return record["method"] == DENSE or record.get("classes_per_image", 1) > 1


def method_name(record: Mapping[str, Any]) -> str:
    """Returns how a result was tested; earlier versions did not record how many classes are chosen on an image."""
    name = _BEST_CLASSES if has_several_boxes(record) else _KNOWN_CLASS
    count = record.get("classes_per_image")
    # Earlier versions did not record the method of each localizer.
    views = tables.join_different(_VIEWS[method] for method in record.get("methods") or [record["method"]])
    return f"{name.format(f'{count} ' if count else '')}, {views}{', with its mirror image' * bool(record['flip'])}"


def table_row(record: dict) -> list[str]:
    """Returns the cells of a result, described by `BoxResult.record`, those of the other task first."""
    nets, rate = tables.trained_nets(record), record.get("images_per_second")
    kinds, method, flip = record["box_regressions"], record["method"], record["flip"]
    key = box_key(PAPER_LADDER, nets, kinds, record["test_scales"], method, flip=flip)
    papers = find_published_boxes(key)
    return [
        *_net_cells(nets, kinds, record["test_scales"]),
        method_name(record),
        f"{record['top1_error']:.2f}",
        f"{record['top5_error']:.2f}" if has_several_boxes(record) else "",
        f"{record['mean_iou']:.3f}",
        f"{papers.error:.1f}" if papers and papers.error is not None else "",
        f"{rate:.3g}" if rate else "",
    ]


def columns_and_rows(
    records: Sequence[dict], names: Mapping[Classifiers, str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the rows of some results; without the top-5 error if none has several boxes an image.

    Args:
        records: the results.
        names: names of the classifiers, which have a column if there are any.
    """
    several = any(map(has_several_boxes, records))
    columns, rows = tables.without_column(_COLUMNS, map(table_row, records), "" if several else tables.TOP5)
    return _with_classifiers(columns, rows, [(names or {}).get(classifiers_of(record), "") for record in records])


def _with_classifiers(
    columns: Sequence[str], rows: Sequence[Sequence[str]], named: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Adds a column of classifiers before the first one of errors, unless no row has a classifier."""
    if not any(named):
        return list(columns), list(map(list, rows))
    place = next(index for index, column in enumerate(columns) if column in (tables.TOP1, _ERROR))
    added = [[*row[:place], name, *row[place:]] for row, name in zip(rows, named, strict=True)]
    return [*columns[:place], _CLASSIFIER, *columns[place:]], added


def results_table(record: dict) -> ShownTable:
    """Returns the results of an evaluation of localizers as a table.

    Args:
        record: content of `evaluation.json`.
    """
    images = record["images"]
    title = f"{images['data_set']}, {images['split']}: {counted(images['num_images'], 'image')} with boxes"
    columns, rows = columns_and_rows(record["results"])
    if not tables.is_ilsvrc(images):  # the paper's errors are of other images
        columns, rows = tables.without_column(columns, rows, tables.PAPER)
    return ShownTable(title, columns, rows)


def paper_table(
    number: int,
    measured: Mapping[BoxKey, MarkedResult],
    names: Mapping[Classifiers, str],
    *,
    papers_own: bool = True,
) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the rows of one of the paper's tables of localization.

    The error is the top-5 error, which of one box on an image is its error.

    Args:
        number: number of the table, 8..10.
        measured: results by what they are of.
        names: names of the classifiers, which have a column if there are any.
        papers_own: whether the nets are of the paper's own scales: then rows without a result are kept, with blank
            cells; else they are left out, and the others show their own scales.
    """
    rows = [row for row in PUBLISHED_BOXES if row.table == number and (papers_own or row.key in measured)]
    results = [measured.get(row.key) if row.key else None for row in rows]
    cells = [_table_row(row, result, papers_own=papers_own) for row, result in zip(rows, results, strict=True)]
    named = [names.get(classifiers_of(result.record), "") if result else "" for result in results]
    left_out = "" if any(row[-1] for row in cells) else _PAPERS_TEST
    return tables.without_column(*_with_classifiers(_PAPERS_COLUMNS, cells, named), left_out)


def _table_row(row: PublishedBoxes, result: MarkedResult | None, *, papers_own: bool) -> list[str]:
    named = [row.others, "", ""]
    if row.key:
        parts = row.key.localizers
        named = _net_cells(
            [part.trained for part in parts], [part.kind for part in parts], [part.test_scales for part in parts]
        )
    if result and not papers_own:
        record = dict(result.record)
        named = _net_cells(tables.trained_nets(record), record["box_regressions"], record["test_scales"])
    error = f"{result.record['top5_error']:.1f}" if result else ""
    return [*named, error, *("" if value is None else f"{value:.1f}" for value in (row.error, row.test_error))]
