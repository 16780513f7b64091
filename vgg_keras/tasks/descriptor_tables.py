"""Collects results of linear SVMs on descriptors into the paper's Tables 11 and 12; needs no TensorFlow."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgg_keras.evaluation import linear_records, published_descriptors, tables
from vgg_keras.evaluation.linear_records import BOX, IMAGE, IMAGE_AND_BOX
from vgg_keras.evaluation.published_descriptors import (
    PROTOCOLS,
    DescriptorKey,
    PublishedDescriptorResult,
)
from vgg_keras.inference.protocol import LINEAR, TrainedNet
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.words import counted

_TITLES = {11: "Table 11: descriptors on other data sets", 12: "Table 12: actions in photos"}
_PAPERS_COLUMNS = ("data set", "net", "test Q", "measure", "result %", "paper's", "test images")
_OTHER_COLUMNS = ("data set", "net", "train S", "test Q", "measure", "result %", "test images", "protocol")
_DESCRIBED = {IMAGE: "", BOX: ", box", IMAGE_AND_BOX: ", image and box"}
_DEVIATION_NOTE = "After ± is the standard deviation over the random splits."
_VOC_NOTE = "The paper's figures of VOC-2012 are of the test images, whose labels only the challenge's server has."


@dataclasses.dataclass(frozen=True)
class DescriptorResults:
    """The results of linear SVMs that were found.

    Attributes:
        papers: newest result of each row of Tables 11 and 12 that was measured as in the paper.
        others: all other results, the oldest first.
        num_older: number of older results of the rows in `papers`, which are left out.
    """

    papers: Mapping[DescriptorKey, Mapping[str, Any]]
    others: Sequence[Mapping[str, Any]]
    num_older: int = 0

    def notes(self) -> list[str]:
        """Returns what readers of the tables have to know."""
        older = f"Of several results of a row the newest is shown; left out: {self.num_older:,} older."
        papers = [_VOC_NOTE] if self.shows_papers else []
        return [" ".join([_DEVIATION_NOTE, *papers]), *([older] if self.num_older else [])]

    @property
    def shows_papers(self) -> bool:
        """Whether Tables 11 and 12 are shown: not if all results are others."""
        return bool(self.papers or not self.others)


def sort_results(records: Sequence[Mapping[str, Any]]) -> DescriptorResults:
    """Divides results into those of the paper's rows and others.

    Args:
        records: the results, as `linear_records.read` returns them, the oldest first.
    """
    papers: dict[DescriptorKey, Mapping[str, Any]] = {}
    others = []
    for record in records:
        key = published_descriptors.find_key(record)
        has_value = linear_records.measured(record)[1] is not None
        if key and has_value and not published_descriptors.differences(record, PROTOCOLS[key.data_set]):
            papers[key] = record
        else:
            others.append(record)
    return DescriptorResults(papers, others, len(records) - len(papers) - len(others))


def shown_tables(results: DescriptorResults) -> Iterator[ShownTable]:
    """Yields Tables 11 and 12, with blank cells for what was not measured, and a table of the other results.

    If there are other results alone, that table alone.
    """
    for number, title in _TITLES.items():
        rows = [
            _papers_row(row, results.papers.get(row.key))
            for row in published_descriptors.PUBLISHED
            if row.table == number
        ]
        if results.shows_papers:
            yield ShownTable(title, _PAPERS_COLUMNS, rows)
    if results.others:
        yield ShownTable("Other linear SVMs on descriptors", _OTHER_COLUMNS, list(map(_other_row, results.others)))


def format_percent(value: float, deviation: float | None) -> str:
    """Returns a figure in percent as the paper writes it: 92.7, or 92.7 ± 0.5."""
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"


def _papers_row(row: PublishedDescriptorResult, record: Mapping[str, Any] | None) -> list[str]:
    scales = PROTOCOLS[row.key.data_set].test_scales
    _, value, deviation = linear_records.measured(record) if record else ("", None, None)
    return [
        row.key.data_set + _DESCRIBED[row.key.described],
        " + ".join(row.key.nets),
        ", ".join(map(str, scales)),
        row.measure,
        "" if value is None else format_percent(value, deviation),
        format_percent(row.value, row.spread),
        f"{record['num_images']:,}" if record else "",
    ]


def _other_row(record: Mapping[str, Any]) -> list[str]:
    name = published_descriptors.find_data_set(record)
    measure, value, deviation = linear_records.measured(record)
    nets = list(map(TrainedNet, record["nets"], record["train_scales"]))
    how = published_descriptors.differences(record, PROTOCOLS[name]) if name else _protocol_words(record)
    return [
        (name or record["images"][0]["data_set"]) + _DESCRIBED[record.get("described", IMAGE)],
        *tables.net_cells(nets, record["test_scales"]),
        *(("", "no labels") if value is None else (measure, format_percent(value, deviation))),
        f"{record['num_images']:,}",
        ", ".join(how) or "as in the paper",  # with other nets
    ]


def _protocol_words(record: Mapping[str, Any]) -> list[str]:
    """Returns how descriptors of a data set that the paper does not have were computed and tested."""
    settings = record["settings"]
    splits = len(record.get("splits", []))
    drawn = f"{counted(splits, 'random split')} with {settings['train_per_class']} training images of a class"
    power = settings["power"]
    return [settings["layer"], *([f"power {power}"] if power != LINEAR else []), *([drawn] if splits else [])]
