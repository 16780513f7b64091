"""Collects finished evaluations into the paper's Tables 3 to 6, beside the published errors; needs no TensorFlow."""

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from vgg_keras.evaluation import published, records, tables
from vgg_keras.evaluation.published import PublishedResult
from vgg_keras.inference.protocol import SCORES, TrainedNet
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils import console, files, paths
from vgg_keras.utils.display import ShownTable, has_top5_error
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import markdown

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


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Results that were measured on the same images.

    Attributes:
        title: name of the data set, split and number of images.
        note: warning that the errors are not comparable with the paper's, or "".
        num_classes: number of classes.
        results: newest result for each row of the paper's tables, as `evaluation.json` records it.
        left_out: number of results with the views of a row that were tested otherwise than in the paper, by how.
    """

    title: str
    note: str
    num_classes: int
    results: dict[PublishedResult, dict] = dataclasses.field(default_factory=dict)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, result: dict) -> None:
        """Assigns a result to the rows of the paper's tables, or counts it if it was tested otherwise."""
        nets = [TrainedNet(*pair) for pair in zip(result["nets"], result["train_scales"], strict=True)]
        find = functools.partial(published.find_published, nets, result["method"], result["test_scales"])
        how = {"flip": result["flip"], "average": result["average"]}
        self.results.update(dict.fromkeys(find(**how), result))
        differences = published.protocol_differences(result["method"], **how)
        if differences and find(flip=True, average=SCORES):
            self.left_out[", ".join(differences)] += 1

    def left_out_note(self) -> str:
        """Returns which results are not in the tables, or ""."""
        counts = "; ".join(f"{number:,} with {how}" for how, number in self.left_out.items())
        return f"Not in the tables, since the paper tests otherwise: {counts}." if counts else ""


def read_records(folder: Path) -> tuple[list[dict], int]:
    """Reads the records of all finished evaluations below a folder, the oldest first; warns of those that are damaged.

    Returns:
        The records, and the number of damaged ones.

    Raises:
        UserError: the folder is missing.
    """
    if not folder.is_dir():
        raise UserError(f"--evaluations_dir={folder} is not a folder; python -m vgg_keras.evaluate makes evaluations")
    paths = sorted(folder.rglob(tables.RECORD), key=lambda path: path.lstat().st_mtime)
    found = list(filter(None, map(_read_or_warn, paths)))
    return found, len(paths) - len(found)


def _read_or_warn(path: Path) -> dict | None:
    try:
        return records.read_results(path)
    except UserError as error:
        console.warn(str(error))
        return None


def group_by_images(evaluations: Iterable[dict]) -> list[ImageSet]:
    """Groups results by the images on which they were measured, and assigns them to the rows of the paper's tables.

    Args:
        evaluations: records that `read_records` returned; of several results for a row the last one is kept.
    """
    found: dict[str, ImageSet] = {}
    for record in evaluations:
        images = record["images"]
        title = f"{images['data_set']}, {images['split']}: {images['num_images']:,} images"
        image_set = ImageSet(title, tables.data_note(images), images["num_classes"])
        image_set = found.setdefault(images["sha256_of_classes_labels_sizes"], image_set)
        for result in record["results"]:
            image_set.add(result)
    return list(found.values())


def paper_table(
    number: int, measured: Mapping[PublishedResult, dict], num_classes: int
) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the rows of one of the paper's tables; cells without a measured result are blank.

    Of five classes or fewer no top-5 error is shown; the column of the test set only where the paper has such an error.

    Args:
        number: number of the table, 3..6.
        measured: results for rows of the tables.
        num_classes: number of classes of the measured results.
    """
    rows = []
    for row in published.PUBLISHED:
        if row.table == number:
            nets, train_scales = zip(*map(dataclasses.astuple, row.nets), strict=True)
            ours = measured.get(row)
            top1 = f"{ours['top1_error']:.1f}" if ours else ""
            top5 = f"{ours['top5_error']:.1f}" if ours and has_top5_error(num_classes) else ""
            rows.append(
                [
                    *tables.net_cells(nets, train_scales, row.test_scales()),
                    tables.METHOD_NAMES[row.method],
                    top1,
                    top5,
                    f"{row.top1:.1f}",
                    f"{row.top5:.1f}",
                    "" if row.test_top5 is None else f"{row.test_top5:.1f}",
                ]
            )
    return tables.without_column(_COLUMNS, rows, "" if any(row[-1] for row in rows) else _TEST_TOP5)


def report(options: ReportOptions) -> None:
    """Reads the evaluations, writes the tables as Markdown, and prints them.

    Raises:
        UserError: the folder is missing, or, at the end, an evaluation could not be read.
    """
    folder = Path(options.evaluations_dir)
    found, damaged = read_records(folder)
    output = paths.output_file("output", os.fspath(options.output or folder / "tables.md"))
    # Without any evaluation the tables still show which results could be measured.
    image_sets = group_by_images(found) or [ImageSet("nothing run", "", 0)]
    files.write_text(output, to_markdown(image_sets))
    for images in image_sets:
        for number, heading in _TITLES.items():
            table = paper_table(number, images.results, images.num_classes)
            console.say_table(ShownTable(f"{heading} ({images.title})", *table))
        console.say(images.note or "the paper's figures are of the same images")
        if images.left_out:
            console.say(images.left_out_note())
    console.say(f"{len(found)} evaluations; written: {output}")
    if damaged:
        counts = f"{damaged} of {damaged + len(found)} evaluations cannot be read (listed above)"
        raise UserError(f"{counts}; {output} has the others")


def to_markdown(image_sets: Iterable[ImageSet]) -> str:
    """Returns the tables of each set of images as Markdown."""
    text = ["# Tables 3 to 6 of arXiv:1409.1556\n"]
    for images in image_sets:
        notes = [f"{markdown(note)}\n" for note in (images.note, images.left_out_note()) if note]
        text += [f"## {markdown(images.title)}\n", *notes]
        for number, heading in _TITLES.items():
            table = paper_table(number, images.results, images.num_classes)
            text += [f"### {heading}\n", tables.markdown_table(*table)]
    return "\n".join(text)
