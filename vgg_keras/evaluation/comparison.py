"""Compares the results of finished evaluations on the same images; needs no TensorFlow."""

from pathlib import Path

from vgg_keras.evaluation import mistakes, tables
from vgg_keras.evaluation.mistakes import MarkedResult
from vgg_keras.utils.display import ShownTable, has_top5_error

_COLUMNS = ("net", "train S", "test Q", "method", tables.TOP1, "against", tables.TOP5, "against")


def difference_cells(result: MarkedResult, other: MarkedResult) -> list[str]:
    """Returns a result's errors in percent, and each minus that of another result on the same images.

    Returns:
        Four cells: top-1 error; its difference with the 95% interval and p-value; the same two for the top-5 error.
    """
    top1, top5 = result.against(other)
    errors = (result.record["top1_error"], result.record["top5_error"])
    return [f"{errors[0]:.2f}", top1.text(), f"{errors[1]:.2f}", top5.text()]


def compare(folder: Path, other: Path) -> ShownTable:
    """Compares the last results of two evaluations: the fusion, or the only model by its last method.

    Args:
        folder: folder of the evaluation that is described.
        other: folder of the one that it is compared with.

    Raises:
        UserError: a folder holds no finished evaluation, or they are not of the same images.
    """
    (record, ours), (other_record, theirs) = (mistakes.load_evaluation(path) for path in (folder, other))
    mistakes.require_same_images(folder, record["images"], other, other_record["images"])
    rows = []
    for result in (theirs[-1], ours[-1]):
        described = tables.table_row(dict(result.record))[:4]
        rows.append([*described, *difference_cells(result, theirs[-1])])
    rows[0][5] = rows[0][7] = ""
    columns = list(_COLUMNS)
    if not has_top5_error(record["images"]["num_classes"]):
        columns, rows = columns[:6], [row[:6] for row in rows]
    title = f"{folder} against {other}: difference in percentage points [95% interval], McNemar's p"
    return ShownTable(title, columns, rows)
