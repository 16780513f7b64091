"""The pictures of an evaluation's report, drawn with matplotlib."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.files import write_atomically

# Names longer than this would take the place of the picture.
_MAX_NAME = 24
_CELL_INCHES = 2.4


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def save(figure: Figure, path: Path) -> None:
    """Writes a figure, complete or not at all."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100, bbox_inches="tight"))


def confusion_matrix(counts: np.ndarray, row_names: Sequence[str], column_names: Sequence[str]) -> Figure:
    """Draws how often the images of each class were given each label.

    Args:
        counts: (rows, columns), images of a class (row) that got a label (column).
        row_names: of the classes.
        column_names: of the labels.
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
    """Draws the top-1 error of each class, in percent, and the error of all images as a line."""
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
    """A picture with words.

    Attributes:
        image: (H, W, 3) uint8.
        caption: what stands above it.
    """

    image: np.ndarray
    caption: str


def gallery(pictures: Sequence[Captioned], columns: int = 4) -> Figure:
    """Draws pictures in rows, each under its caption."""
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
        posteriors: (h, w, classes), the softmax at each position of the map.
        caption: what stands above it.
        classes: (index, name) of the classes whose maps are drawn.
    """

    image: np.ndarray
    posteriors: np.ndarray
    caption: str
    classes: Sequence[tuple[int, str]]


def map_extent(map_shape: tuple[int, int], input_size: int, stride: int = 32) -> tuple[float, float, float, float]:
    """Returns (left, right, bottom, top) in pixels of a class-score map drawn over its image.

    The position (i, j) looks at the window that begins at (stride * i, stride * j) and is `input_size` wide; it is
    drawn as a square of side `stride` in the middle of that.
    """
    first = (input_size - stride) / 2
    height, width = map_shape
    return first, first + stride * width, first + stride * height, first


def class_score_maps(images: Sequence[MappedImage], input_size: int) -> Figure:
    """Draws each image, then the posterior of some classes over it, position by position.

    Args:
        images: what to draw; a row each.
        input_size: side of the net's window, pixels.
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
