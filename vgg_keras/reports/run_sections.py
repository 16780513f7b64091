"""Shows a run as sections of a page: what it is, its curves, its training photos, its first filters, its settings."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vgg_keras.evaluation.box_figures import with_objects
from vgg_keras.models import run_record
from vgg_keras.reports import pictures
from vgg_keras.reports.page import Chart, Commands, Folded, Gallery, Picture, Prose, Section, Table
from vgg_keras.reports.shown_run import ShownRun
from vgg_keras.training import curves
from vgg_keras.training.pictures import filter_pictures, rounded
from vgg_keras.utils import shell
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.words import counted

_PHOTO_SIDE = 120
_FILTER_SIDE = 40


def overview(run: ShownRun, parameters: int | None) -> Section:
    """Returns the section that says what a run is.

    Args:
        run: the run.
        parameters: number of the net's parameters; None if the model is not there.
    """
    facts = run.facts()
    if parameters is not None:
        facts[0] = (facts[0][0], f"{facts[0][1]}, {parameters:,} parameters")
    return Section("The run", [Table(ShownTable("", ("", ""), facts))])


def curve_section(run: ShownRun) -> Section:
    """Returns the section with the curves of loss and error, with the drops of the learning rate."""
    if not run.history:
        return Section("Curves", [Prose("No epoch has been validated yet.")])
    svg = pictures.inline_svg(lambda: curves.draw(run.history, ""), "curves")
    columns = ("epoch", "rate", "training loss", "error %", "validation loss", "error %", "images/s")
    rows = [_epoch_row(entry) for entry in run.history]
    text = (
        "The training figures are of augmented photos with dropout, those of validation are not: a training error "
        "above that of validation is usual."
    )
    drops = [run.history[index]["epoch"] for index in curves.rate_drops(run.history)]
    fell = f" The rate fell after epoch {', '.join(map(str, drops))}." if drops else ""
    table = Table(ShownTable("", columns, rows, numbers=True))
    description = (
        f"Loss and error of training and validation over {counted(len(rows), 'epoch')}; the table below has them"
    )
    return Section(
        "Curves", [Prose(text + fell), Chart(svg, description, 560), Folded("Every epoch as numbers", [table])]
    )


def _epoch_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    losses = (
        f"{entry[f'{split}_{key}']:.{digits}f}"
        for split in ("training", "validation")
        for key, digits in (("loss", 4), ("top1_error", 2))
    )
    speed = entry.get("images_per_second")
    return (str(entry["epoch"]), f"{entry['learning_rate']:g}", *losses, f"{speed:,.1f}" if speed else "")


def training_photos(
    images: np.ndarray, names: Sequence[str], boxes: np.ndarray | None = None, *, cached: bool = False
) -> Section:
    """Returns the section with augmented photos.

    Args:
        images: (N, S, S, 3) float32, RGB 0..255 plus the RGB shift.
        names: name of the class of each.
        boxes: (N, 4) float32, (ymin, xmin, ymax, xmax) relative to each image, what a localizer had to tell; zeros for
            an image that shows no object. None for a classifier.
        cached: whether the frozen layers were shown the images once, and the others learn from crops of their outputs.
    """
    shown_to = (
        "frozen layers were shown them; the others learn crops of their outputs" if cached else "net was shown them"
    )
    text = f"The first photos of the first epoch, cropped, mirrored and shifted in colour, as the {shown_to}."
    photos: Iterable[np.ndarray] = rounded(images)
    if boxes is not None:
        photos = [with_objects(photo, [box] if _is_seen(box) else []) for photo, box in zip(photos, boxes, strict=True)]
        text += " White is the box that it was to tell: that of the object with the largest area inside the crop."
    shown = [
        Picture(pictures.jpeg(photo), f"a {name}, augmented", [name]) for photo, name in zip(photos, names, strict=True)
    ]
    return Section("Training photos", [Prose(text), Gallery(shown, _PHOTO_SIDE)])


def _is_seen(box: np.ndarray) -> bool:
    """Returns whether an image shows a part of a box, (4,) float32, relative to it."""
    begin, end = np.clip(box.reshape(2, 2), 0, 1)
    return bool((begin < end).all())


def filters(kernel: np.ndarray) -> Section:
    """Returns the section with the filters of the first layer.

    Args:
        kernel: (h, w, 3, filters) float.
    """
    shown = [
        Picture(pictures.png(picture), f"filter {index} of the first layer")
        for index, picture in enumerate(filter_pictures(kernel))
    ]
    height, width = kernel.shape[:2]
    text = (
        f"The {counted(len(shown), 'filter')} of the best model's first layer, {height}x{width} weights for each of "
        "red, green and blue; each is scaled so that its lowest weight is black and its highest full."
    )
    return Section("First-layer filters", [Prose(text), Gallery(shown, _FILTER_SIDE, sharp=True)])


def settings(run: ShownRun) -> Section:
    """Returns the section with the settings: those that are not the defaults, and folded all."""
    every = {name: str(value) for name, value in run.options.flags().items()}
    other = [(name, every[name]) for name in run.options.changed(every)]
    flagfile = shell.command("vgg_keras.train", flagfile=run.folder / run_record.FLAGS)
    return Section(
        "Settings",
        [
            Prose("What differs from the defaults, which are the paper's except for --initializer:"),
            Table(ShownTable("", ("flag", "value"), other)),
            Folded("All flags", [Table(ShownTable("", ("flag", "value"), list(every.items())))]),
            Commands([("The same run again, into another folder", f"{flagfile} --output_dir=runs/again")]),
        ],
    )


def side_by_side(runs: Sequence[ShownRun]) -> Iterator[Section]:
    """Yields the sections that compare several runs."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):  # folders of the same name in different places
        names = [str(run.folder) for run in runs]
    rows = [["error on validation, best", *(_best_error(run) for run in runs)]]
    by_run = [dict(run.facts()) for run in runs]
    every_fact = dict.fromkeys(fact for facts in by_run for fact in facts)
    rows += [[fact, *(facts.get(fact, "") for facts in by_run)] for fact in every_fact]
    yield Section("The runs", [Table(ShownTable("", ("", *names), rows))])
    svg = pictures.inline_svg(
        lambda: curves.draw_several([(name, run.history) for name, run in zip(names, runs, strict=True)]), "curves"
    )
    yield Section("Validation", [Chart(svg, "Validation loss and error of the runs over their epochs", 560)])
    values = [run.options.flags() for run in runs]
    differing = [
        [flag, *(str(one[flag]) for one in values)] for flag in values[0] if len({str(one[flag]) for one in values}) > 1
    ]
    yield Section("Settings that differ", [Table(ShownTable("", ("flag", *names), differing))])


def _best_error(run: ShownRun) -> str:
    error = run.best["validation_top1_error"] if run.best else math.nan
    return f"{error:.2f}%" if math.isfinite(error) else "not validated yet"
