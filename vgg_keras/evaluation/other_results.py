"""Shows results that have no row in the paper's tables; needs no TensorFlow."""

from collections.abc import Iterator, Sequence

from vgg_keras.evaluation import box_tables, tables
from vgg_keras.evaluation.image_sets import ImageSet
from vgg_keras.evaluation.mistakes import MarkedResult
from vgg_keras.models.architectures import CLASSIFICATION, LOCALIZATION
from vgg_keras.utils.display import ShownTable

_TITLES = {CLASSIFICATION: "Other results of classifiers", LOCALIZATION: "Other results of localizers"}


def shown_tables(images: ImageSet) -> Iterator[ShownTable]:
    """Yields a table of the results of each task that are in no row of the paper's, if there are any."""
    for task, title in _TITLES.items():
        if others := images.others.get(task, []):
            columns, rows = _table(task, others, images)
            for left_out in (tables.PAPER, tables.RATE):
                columns, rows = tables.without_column(columns, rows, left_out)
            yield ShownTable(title, columns, rows)


def _table(task: str, others: Sequence[MarkedResult], images: ImageSet) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the rows of the results of a task, which are some of those on the images."""
    records = [dict(result.record) for result in others]
    if task == LOCALIZATION:
        return box_tables.columns_and_rows(records, images.classifiers)
    return tables.without_empty_top5(tables.COLUMNS, map(tables.table_row, records), images.num_classes)
