"""Collects results into the paper's Tables 3 to 6 and 8 to 12, and its findings; needs no TensorFlow."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vgg_keras.evaluation import (
    box_tables,
    image_sets,
    layout,
    linear_records,
    mistakes,
    other_results,
    published,
    tables,
)
from vgg_keras.evaluation.comparison import difference_cells
from vgg_keras.evaluation.findings import FINDINGS
from vgg_keras.evaluation.image_sets import ImageSet
from vgg_keras.evaluation.mistakes import FinishedResults, MarkedResult
from vgg_keras.evaluation.published import PublishedResult, RowKey
from vgg_keras.models.architectures import CLASSIFICATION, LOCALIZATION, TASKS
from vgg_keras.tasks import descriptor_tables
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils import console, files, paths
from vgg_keras.utils.display import ShownTable, has_top5_error
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import markdown
from vgg_keras.utils.words import counted

ResultT = TypeVar("ResultT")

_NOTHING_RUN = "nothing run"
_TITLES = {
    3: "Table 3: a single test scale",
    4: "Table 4: several test scales",
    5: "Table 5: dense evaluation and multi-crop",
    6: "Table 6: fusion of several nets",
}
_TEST_TOP5 = "paper's test top-5"
_COLUMNS = (
    *("net", "train S", "test Q", "method", "top-1 err. %", "top-5 err. %"),
    *("paper's top-1", "paper's top-5", _TEST_TOP5),
)
_FINDING_COLUMNS = ("the paper's finding", "top-1 err. %", "difference [95% interval]", "paper's", "here it")
_FINDINGS_NOTE = (
    "Differences of the top-1 errors in percentage points on the same images, with their paired 95% intervals and "
    "McNemar's p. The intervals are of the images, not of the training: another seed would give other nets."
)


@dataclasses.dataclass(frozen=True)
class _Section:
    """A part of the report: tables of results that can be compared, and what readers have to know of them."""

    title: str
    tables: list[ShownTable]
    notes: list[str]


def read_evaluations(folder: Path) -> tuple[list[FinishedResults], int]:
    """Reads all finished evaluations below a folder, the oldest first; warns of those that are damaged.

    Returns:
        The evaluations, and the number of damaged ones.

    Raises:
        UserError: the folder is missing.
    """
    if not folder.is_dir():
        raise UserError(f"--evaluations_dir={folder} is not a folder; python -m vgg_keras.evaluate makes evaluations")
    return _read_all(folder, tables.RECORD, lambda path: mistakes.load(path.parent))


def read_descriptor_results(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Reads the results of all linear SVMs below a folder, the oldest first; warns of those that are damaged.

    Data sets have a file of the same name beside their description, which is none of these.

    Returns:
        The results, and the number of damaged ones.
    """
    return _read_all(folder, linear_records.FILE, linear_records.read, beside=linear_records.DATASET_INFO)


def _read_all(folder: Path, name: str, read: Callable[[Path], ResultT], beside: str = "") -> tuple[list[ResultT], int]:
    """Reads all files of a name below a folder; returns what they hold, and the number of damaged ones.

    Args:
        folder: the folder.
        name: name of the files.
        read: function that reads one.
        beside: name of a file beside which such a file is another one; "": it never is.
    """
    found_here = [path for path in folder.rglob(name) if not (beside and path.with_name(beside).exists())]
    paths_found = sorted(found_here, key=lambda path: path.lstat().st_mtime)
    found = [result for path in paths_found if (result := _read_or_warn(path, read)) is not None]
    return found, len(paths_found) - len(found)


def _read_or_warn(path: Path, read: Callable[[Path], ResultT]) -> ResultT | None:
    try:
        return read(path)
    except UserError as error:
        console.warn(str(error))
        return None


def paper_table(
    number: int, measured: Mapping[RowKey, MarkedResult], num_classes: int, *, papers_own: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the rows of one of the paper's tables.

    Of five classes or fewer no top-5 error is shown; the column of the test set only where the paper has such an error.

    Args:
        number: number of the table, 3..6.
        measured: results by what they are of.
        num_classes: number of classes of the measured results.
        papers_own: whether the nets are of the paper's own scales: then rows without a result are kept, with blank
            cells; else they are left out, and the others show their own scales.
    """
    rows = [
        _table_row(row, measured.get(row.key), num_classes, papers_own=papers_own)
        for row in published.PUBLISHED
        if row.table == number and (papers_own or row.key in measured)
    ]
    return tables.without_column(_COLUMNS, rows, "" if any(row[-1] for row in rows) else _TEST_TOP5)


def _table_row(row: PublishedResult, result: MarkedResult | None, num_classes: int, *, papers_own: bool) -> list[str]:
    errors, nets, test_scales = ["", ""], row.nets, row.test_scales()
    if result:
        record = dict(result.record)
        if not papers_own:
            nets, test_scales = tables.trained_nets(record), record["test_scales"]
        top5 = f"{record['top5_error']:.1f}" if has_top5_error(num_classes) else ""
        errors = [f"{record['top1_error']:.1f}", top5]
    return [
        *tables.net_cells(nets, test_scales),
        tables.METHOD_NAMES[row.method],
        *errors,
        f"{row.top1:.1f}",
        f"{row.top5:.1f}",
        "" if row.test_top5 is None else f"{row.test_top5:.1f}",
    ]


def findings_table(measured: Mapping[RowKey, MarkedResult]) -> list[list[str]]:
    """Returns a row of cells for each of the paper's findings of which both results are there.

    Args:
        measured: results by what they are of.
    """
    rows = []
    for finding in FINDINGS:
        first, second = measured.get(finding.first), measured.get(finding.second)
        if not first or not second:
            continue
        errors = f"{first.record['top1_error']:.2f} -> {second.record['top1_error']:.2f}"
        differences, papers = second.against(first), finding.published()
        verdict = finding.verdict(differences[0]) if differences else "is not known: evaluate again"
        paper_cell = "" if papers is None else f"{papers:+.1f}"
        rows.append([finding.claim, errors, difference_cells(second, first)[0], paper_cell, verdict])
    return rows


def shown_tables(images: ImageSet | None) -> Iterator[ShownTable]:
    """Yields the tables of a set of images, those of classification and those of localization, and of other results.

    Args:
        images: the results; None: the tables show which results could be measured.
    """
    measured, num_classes = (images.results, images.num_classes) if images else ({}, 0)
    located, tasks, classifiers = (images.located, images.tasks, images.classifiers) if images else ({}, TASKS, {})
    papers_own = not images or images.ladder.exact
    found = []
    if CLASSIFICATION in tasks:
        found += [
            (title, paper_table(number, measured, num_classes, papers_own=papers_own))
            for number, title in _TITLES.items()
        ]
    if LOCALIZATION in tasks:
        found += [
            (title, box_tables.paper_table(number, located, classifiers, papers_own=papers_own))
            for number, title in box_tables.TITLES.items()
        ]
    yield from (ShownTable(title, columns, rows) for title, (columns, rows) in found if rows)
    if images:
        yield from other_results.shown_tables(images)


def report(options: ReportOptions) -> None:
    """Reads the evaluations, writes the tables as Markdown, and prints them.

    Raises:
        UserError: the folder is missing, or, at the end, an evaluation could not be read.
    """
    folder = Path(options.evaluations_dir)
    evaluations, damaged_evaluations = read_evaluations(folder)
    linear_svms, damaged_svms = read_descriptor_results(folder)
    output = paths.output_file("output", os.fspath(options.output or folder / "tables.md"))
    paths.require_separate([("output", output)], layout.COLLECTED.existing(folder))
    sections = list(_sections(evaluations, linear_svms))
    files.write_output(output, "\n".join(["# Tables of arXiv:1409.1556\n", *map(to_markdown, sections)]))
    for section in sections:
        for table in section.tables:
            console.say_table(ShownTable(f"{table.title} ({section.title})", table.columns, table.rows))
        for note in section.notes:
            console.say(note)
    found, damaged = len(evaluations) + len(linear_svms), damaged_evaluations + damaged_svms
    console.say(f"{counted(found, 'evaluation')}; written: {output}")
    if damaged:
        counts = f"{damaged} of {damaged + found} evaluations cannot be read (listed above)"
        raise UserError(f"{counts}; {output} has the others")


def _sections(evaluations: list[FinishedResults], linear_svms: list[dict[str, Any]]) -> Iterator[_Section]:
    """Yields the tables of each set of images, and those of descriptors.

    Without any result, the tables still show which could be measured.
    """
    groups: list[ImageSet | None] = [*image_sets.group(evaluations)]
    for images in groups or ([] if linear_svms else [None]):
        yield _Section(_NOTHING_RUN, list(shown_tables(None)), []) if images is None else _section(images)
    if linear_svms or not evaluations:
        title = "appendix B" if linear_svms else _NOTHING_RUN
        results = descriptor_tables.sort_results(linear_svms)
        yield _Section(title, list(descriptor_tables.shown_tables(results)), results.notes())


def _section(images: ImageSet) -> _Section:
    """Returns the tables of a set of images, the findings that hold there or not, and notes on both."""
    same = [] if images.data_note else ["The paper's figures are of the same images."]
    section = _Section(images.title, list(shown_tables(images)), [*same, *images.notes()])
    if findings := findings_table(images.results):
        section.tables.append(ShownTable("Findings", _FINDING_COLUMNS, findings))
        section.notes.append(_FINDINGS_NOTE)
    return section


def to_markdown(section: _Section) -> str:
    """Returns a section of the report as Markdown."""
    text = [f"## {markdown(section.title)}\n", *(f"{markdown(note)}\n" for note in section.notes)]
    for table in section.tables:
        text += [f"### {table.title}\n", tables.markdown_table(table.columns, table.rows)]
    return "\n".join(text)
