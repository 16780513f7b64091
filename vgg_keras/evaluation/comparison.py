"""Compares the results of finished evaluations on the same images; needs no TensorFlow."""

from pathlib import Path

from vgg_keras.evaluation import box_tables, mistakes, tables
from vgg_keras.evaluation.mistakes import FinishedResults, MarkedResult
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.utils.display import ShownTable, has_top5_error
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import markdown

_COLUMNS = ("evaluation", "net", "train S", "test Q", "method", tables.TOP1, "difference", tables.TOP5, "difference")


def load_marked(folder: Path) -> FinishedResults:
    """Reads a finished evaluation that can be compared with others.

    Raises:
        UserError: the folder holds no finished evaluation, a file in it is damaged, or it did not keep which images it
            got wrong.
    """
    if not (folder / tables.RECORD).exists():
        raise UserError(f"{folder} holds no finished evaluation; name the folder of one, with {tables.RECORD} in it")
    found = mistakes.load(folder)
    if found.results[-1].wrong is None:
        raise UserError(f"{folder} did not keep which images it got wrong; remove it, and evaluate again")
    return found


def difference_cells(result: MarkedResult, other: MarkedResult) -> tuple[str, str]:
    """Returns a result's top-1 and top-5 error minus those of another one, with 95% interval and p-value, as text."""
    differences = result.against(other)
    return (differences[0].text(), differences[1].text()) if differences else ("", "")


def document(table: ShownTable) -> str:
    """Returns the table of `compare` as a Markdown document."""
    return f"# {markdown(table.title)}\n\n{tables.markdown_table(table.columns, table.rows)}"


def compare(folder: Path, other: Path) -> tuple[ShownTable, str]:
    """Compares the last results of two evaluations: the fusion, or the only model by its last method.

    Returns them as a table, and the difference of the top-1 errors as text.

    Args:
        folder: folder of the evaluation that is described.
        other: folder of the one that it is compared with.

    Raises:
        UserError: a folder holds no finished evaluation, or they are not of the same task and images.
    """
    ours, theirs = load_marked(folder), load_marked(other)
    theirs.require_comparable(ours.task, ours.images)
    first, second = theirs.results[-1], ours.results[-1]
    localizes = ours.task == LOCALIZATION
    table_row = box_tables.table_row if localizes else tables.table_row
    rows = []
    # A test with the known class alone has no top-5 error.
    has_top5 = [
        box_tables.has_several_boxes(one.record) if localizes else has_top5_error(ours.images["num_classes"])
        for one in (first, second)
    ]
    difference1, difference5 = difference_cells(second, first)
    differences = (("", ""), (difference1, difference5 if all(has_top5) else ""))
    for path, result, (top1, top5), shown in zip((other, folder), (first, second), differences, has_top5, strict=True):
        cells = table_row(dict(result.record))
        rows.append([str(path), *cells[:5], top1, cells[5] if shown else "", top5])
    columns = list(_COLUMNS)
    if not any(has_top5):
        columns, rows = columns[:7], [row[:7] for row in rows]
    title = f"{folder} against {other}: difference in percentage points [95% interval], and McNemar's p"
    return ShownTable(title, columns, rows), difference1
