"""Shows a test of localizers as sections of a page: errors by class, how well boxes fit, photos with their boxes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vgg_keras.evaluation import box_figures
from vgg_keras.evaluation.box_highlights import BoxHighlights
from vgg_keras.evaluation.box_tables import has_several_boxes
from vgg_keras.evaluation.figures import Captioned
from vgg_keras.reports import pictures
from vgg_keras.reports.page import Block, Chart, Gallery, Picture, Prose, Section, Table
from vgg_keras.training.objectives import MIN_IOU

# Width of a picture in pixels.
_PHOTO_SIDE = 180


def error_text(record: Mapping[str, Any]) -> str:
    """Returns the localization errors of a result as text for people.

    Args:
        record: the result as `evaluation.json` stores it.
    """
    if has_several_boxes(record):
        return f"Localization error {record['top1_error']:.2f}% (top-1), {record['top5_error']:.2f}% (top-5)"
    return f"Localization error {record['top1_error']:.2f}%"


def sections(shown: BoxHighlights, note: str = "") -> Iterator[Section]:
    """Yields the sections of a test of localizers.

    Args:
        shown: what is shown of it besides the results.
        note: what readers have to know of the test first.
    """
    right = int((shown.overlaps > MIN_IOU).sum())
    description = f"Photos by intersection over union: {right:,} of {len(shown.overlaps):,} are above {MIN_IOU}"
    svg = pictures.inline_svg(lambda: box_figures.overlaps(shown.overlaps), "overlaps")
    yield Section("How well the boxes fit", [*([Prose(note)] if note else []), Chart(svg, description, 420)])
    yield Section(f"Error by class{shown.note}", [Table(shown.classes)])
    if shown.worst:
        text = f"The photos of which no box is right, the lowest IoU first. {box_figures.LEGEND}"
        yield Section("Worst boxes", _photos(shown.worst, text))
    else:
        yield Section("Worst boxes", [Prose("Each photo has a box that is right.")])
    text = f"{box_figures.FIRST} {box_figures.LEGEND}"
    yield Section("Boxes", _photos(shown.first, text))


def _photos(chosen: Sequence[Captioned], text: str) -> list[Block]:
    found = [Picture(pictures.jpeg(one.image), f"box: {one.caption}", [one.caption]) for one in chosen]
    return [Prose(text), Gallery(found, _PHOTO_SIDE)]
