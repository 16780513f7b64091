"""Shows an evaluation as sections of a page: errors by class, mistakes, likely wrong labels, class-score maps."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vgg_keras.evaluation import calibration, figures, reliability_diagram
from vgg_keras.evaluation.highlights import ClassErrors, Highlights
from vgg_keras.reports import pictures
from vgg_keras.reports.page import Beside, Block, Chart, Gallery, Picture, Prose, Section, Table
from vgg_keras.utils.words import counted

# Width of a picture in pixels.
_PHOTO_SIDE = 150
_CELL_PIXELS = 44


def sections(shown: Highlights) -> Iterator[Section]:
    """Yields the sections of a classifier's evaluation.

    Args:
        shown: what is shown of it besides the results.
    """
    yield from _classes(shown.classes)
    if shown.calibration:
        yield _calibration(shown.calibration)
    if shown.mistakes:
        text = "The most confident ones come first."
        yield Section("Worst mistakes", _photos(shown, shown.mistakes, text))
    else:
        yield Section("Worst mistakes", [Prose("There are no mistakes.")])
    if shown.suspicious:
        text = (
            "By confident learning (arXiv:1911.00068): the net believes in another class more strongly than it usually "
            "does where that class is right. Look at these photos before you trust the error."
        )
        yield Section("Labels that may be wrong", _photos(shown, shown.suspicious, text))
    yield _score_maps(shown)


def _classes(found: ClassErrors) -> Iterator[Section]:
    bars = pictures.inline_svg(lambda: figures.errors_by_class(found.names, found.errors, found.mean), "bars")
    errors = ", ".join(f"{name} {error:.1f}%" for name, error in zip(found.names, found.errors, strict=True))
    yield Section(f"Error by class{found.note}", [Table(found.table), Chart(bars, f"Top-1 errors: {errors}")])
    matrix = pictures.inline_svg(
        lambda: figures.confusion_matrix(found.counts, found.row_names, found.column_names), "confusion"
    )
    wide = _CELL_PIXELS * found.counts.shape[1]
    text = "Each row is a class, each column a prediction; off the diagonal are the mistakes."
    description = "Confusion matrix; the table of errors above names what each class is most often taken for"
    yield Section(f"Confusion{found.note}", [Prose(text), Chart(matrix, description, wide)])


def _calibration(found: Mapping[str, Any]) -> Section:
    charts = [
        Chart(
            pictures.inline_svg(functools.partial(reliability_diagram.draw, {title: measured}), f"reliability{index}"),
            f"Reliability diagram, {title}",
        )
        for index, (title, measured) in enumerate(calibration.measured(found).items())
    ]
    return Section("Calibration", [Table(calibration.table(found)), Prose(calibration.text(found)), Beside(charts)])


def _photos(shown: Highlights, chosen: Sequence[int], text: str) -> list[Block]:
    found = [
        Picture(pictures.jpeg(shown.thumbnails[index]), ", ".join(shown.captions[index]), shown.captions[index])
        for index in chosen
    ]
    return [Prose(f"{counted(len(chosen), 'photo')}. {text}"), Gallery(found, _PHOTO_SIDE)]


def _score_maps(shown: Highlights) -> Section:
    if not shown.maps:
        return Section("Class-score maps", [Prose(shown.maps_text)])
    rows: list[Block] = []
    for one in shown.maps:
        lines = one.caption.split("\n")
        overlays = [
            Picture(pictures.jpeg(figures.overlay(one.photo, heat)), f"class-score map: {title}", [title])
            for heat, title in zip(np.moveaxis(one.heat_maps, -1, 0), one.titles, strict=True)
        ]
        rows.append(Gallery([Picture(pictures.jpeg(one.photo), ", ".join(lines), lines), *overlays], _PHOTO_SIDE))
    bar = pictures.inline_svg(figures.heat_scale, "scale")
    legend = "The colours of the maps, from a posterior of 0 to one of 1"
    return Section("Class-score maps", [Prose(shown.maps_text), Chart(bar, legend), *rows])
