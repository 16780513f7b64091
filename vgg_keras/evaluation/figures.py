"""Draws the pictures of an evaluation's report with matplotlib."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.files import write_atomically

# Longer names would leave too little room for the picture.
_MAX_NAME = 24
_CELL_INCHES = 2.4


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def save(figure: Figure, path: Path) -> None:
    """Writes a figure to an image file, complete or not at all."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100, bbox_inches="tight"))


def confusion_matrix(counts: np.ndarray, row_names: Sequence[str], column_names: Sequence[str]) -> Figure:
    """Draws how often the images of each class were given each label.

    Args:
        counts: (rows, columns), number of images of a class (row) that got a label (column).
        row_names: names of the classes.
        column_names: names of the labels.
    """
    size = 2.5 + 0.42 * max(counts.shape)
    figure = Figure(figsize=(size + 1, size))
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(column_names)), map(_short, column_names), rotation=90)
    axes.set_yticks(range(len(row_names)), map(_short, row_names))
    axes.set(xlabel="predicted", ylabel="true class")
    figure.colorbar(image, label="% of the class", fraction=0.046)
    return figure


def errors_by_class(names: Sequence[str], errors: Sequence[float], mean: float) -> Figure:
    """Draws the top-1 error of each class as a bar, and that of all images as a line.

    Args:
        names: names of the classes.
        errors: top-1 error of each class in percent.
        mean: top-1 error of all images in percent.
    """
    figure = Figure(figsize=(7, 1 + 0.28 * len(names)))
    axes = figure.subplots()
    axes.barh(range(len(names)), errors, color="tab:blue")
    axes.axvline(mean, color="tab:red", linestyle="--", label=f"all images: {mean:.1f}%")
    axes.set_yticks(range(len(names)), map(_short, names))
    axes.invert_yaxis()
    axes.set(xlabel="top-1 error, %", xlim=(0, 100))
    axes.legend(loc="lower right")
    return figure


@dataclasses.dataclass(frozen=True)
class Captioned:
    """A picture with a caption.

    Attributes:
        image: (H, W, 3) uint8.
        caption: text above the picture.
    """

    image: np.ndarray
    caption: str


def gallery(pictures: Sequence[Captioned], columns: int = 4) -> Figure:
    """Draws pictures in rows, each under its caption.

    Args:
        pictures: the pictures.
        columns: number of pictures in a row.
    """
    rows = ceil_divide(len(pictures), columns)
    figure = Figure(figsize=(_CELL_INCHES * columns, (_CELL_INCHES + 0.6) * rows), layout="constrained")
    for axes, picture in zip(figure.subplots(rows, columns, squeeze=False).flat, pictures, strict=False):
        axes.imshow(picture.image)
        axes.set_title(picture.caption, fontsize=8)
    for axes in figure.axes:
        axes.axis("off")
    return figure


@dataclasses.dataclass(frozen=True)
class MappedImage:
    """An image and the posteriors over its class-score map.

    Attributes:
        image: (H, W, 3) uint8, as the net saw it.
        posteriors: (h, w, classes) float32, the softmax at each position of the map.
        caption: text above the image.
        classes: (index, name) of each class whose map is drawn.
    """

    image: np.ndarray
    posteriors: np.ndarray
    caption: str
    classes: Sequence[tuple[int, str]]


def map_extent(map_shape: tuple[int, int], input_size: int, stride: int = 32) -> tuple[float, float, float, float]:
    """Returns the extent of a class-score map drawn over its image: (left, right, bottom, top) in pixels.

    Position (i, j) of the map sees the window of side `input_size` whose top left corner is at row stride * i and
    column stride * j; it is drawn as a square of side `stride` in the middle of that window.

    Args:
        map_shape: height and width of the map, in positions.
        input_size: side of the net's window in pixels.
        stride: distance between the windows of neighbouring positions in pixels.
    """
    first = (input_size - stride) / 2
    height, width = map_shape
    return first, first + stride * width, first + stride * height, first


def class_score_maps(images: Sequence[MappedImage], input_size: int) -> Figure:
    """Draws a row for each image: the image, then the posterior map of each of its classes over the image.

    Args:
        images: the images and their posteriors.
        input_size: side of the net's window in pixels.
    """
    columns = 1 + max(len(mapped.classes) for mapped in images)
    size = ((_CELL_INCHES + 0.4) * columns, (_CELL_INCHES + 0.6) * len(images))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, mapped in zip(grid, images, strict=True):
        row[0].imshow(mapped.image)
        row[0].set_title(mapped.caption, fontsize=8)
        extent = map_extent(mapped.posteriors.shape[:2], input_size)
        for axes, (index, name) in zip(row[1:], mapped.classes, strict=False):
            axes.imshow(mapped.image, alpha=0.6)
            posteriors = mapped.posteriors[..., index]
            drawn = axes.imshow(posteriors, extent=extent, cmap="viridis", vmin=0, vmax=1, alpha=0.6)
            axes.set(xlim=(0, mapped.image.shape[1]), ylim=(mapped.image.shape[0], 0))
            axes.set_title(f"posterior of {_short(name)}", fontsize=8)
    for axes in grid.flat:
        axes.axis("off")
    figure.colorbar(drawn, ax=grid, location="bottom", fraction=0.02, label="posterior at each position of the map")
    return figure
