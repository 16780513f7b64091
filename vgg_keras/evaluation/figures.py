"""Draws the pictures of an evaluation's report with matplotlib."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vgg_keras.data import transforms
from vgg_keras.inference.score_maps import PosteriorMaps
from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.escaping import figure_text, visible
from vgg_keras.utils.files import write_atomically

# Longer names would leave too little room for the picture.
_MAX_NAME = 24
_CELL_INCHES = 2.4
_MAX_PICTURE_SIDE = 320
# A heat map is drawn so transparently that the photo below it stays recognizable; the photo is grey, so that the
# colours are the map's, and light, so that they can be told apart in its shadows.
_TINT = 0.45
_DARKEST = 90
# Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])
_HEAT = ScalarMappable(Normalize(0, 1), "viridis")
_HEAT_LABEL = "posterior at each place of the photo"


def _short(name: str) -> str:
    name = visible(name)
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def _labels(names: Sequence[str]) -> list[str]:
    """Returns names of classes as the labels of an axis."""
    return [figure_text(_short(name)) for name in names]


def save(figure: Figure, path: Path) -> None:
    """Writes a figure to an image file, complete or not at all."""
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100, bbox_inches="tight"))


def png_bytes(figure: Figure) -> bytes:
    """Returns a figure as the content of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100, bbox_inches="tight")
    return stream.getvalue()


def thumbnail(photo: np.ndarray, largest: int = _MAX_PICTURE_SIDE) -> np.ndarray:
    """Shrinks a photo for a picture: (H, W, 3), RGB 0..255 -> (h, w, 3) uint8, smaller side at most `largest`."""
    side = min(*photo.shape[:2], largest)
    return transforms.to_uint8(transforms.rescale(photo, side)).numpy()


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
    axes.set_xticks(range(len(column_names)), _labels(column_names), rotation=90)
    axes.set_yticks(range(len(row_names)), _labels(row_names))
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
    axes.set_yticks(range(len(names)), _labels(names))
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
        axes.set_title(figure_text(picture.caption), fontsize=8)
    for axes in figure.axes:
        axes.axis("off")
    return figure


@dataclasses.dataclass(frozen=True)
class MappedPhoto:
    """A photo and the heat maps of some of its classes.

    Attributes:
        photo: (H, W, 3) uint8.
        heat_maps: (H, W, K) float, 0..1, the result of `PosteriorMaps.heat_maps`.
        caption: text above the photo.
        titles: text above each of the K heat maps.
    """

    photo: np.ndarray
    heat_maps: np.ndarray
    caption: str
    titles: Sequence[str]


def map_photo(
    maps: PosteriorMaps, photo: np.ndarray, caption: str, shown: Sequence[tuple[int, str, float]]
) -> MappedPhoto:
    """Computes the heat maps of a photo, for `class_score_maps`.

    Args:
        maps: the model's posterior maps.
        photo: (H, W, 3) uint8.
        caption: text above the photo.
        shown: (index, label name, posterior of the photo) of each class whose map is drawn.
    """
    picture = thumbnail(photo)
    heat_maps = maps.heat_maps(photo, [index for index, _, _ in shown], picture.shape[:2])
    scales = ", ".join(map(str, maps.test_scales))
    titles = [f"{_short(name)} {posterior:.2f}, Q = {scales}" for _, name, posterior in shown]
    return MappedPhoto(picture, heat_maps, caption, titles)


def overlay(photo: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draws a heat map over a photo in grey.

    Args:
        photo: (H, W, 3) uint8.
        heat: (H, W) float, 0..1.

    Returns:
        (H, W, 3) uint8.
    """
    grey = _DARKEST + photo @ _LUMA * (255 - _DARKEST) / 255
    colours = 255 * _HEAT.to_rgba(heat)[..., :3]
    return np.rint((1 - _TINT) * grey[..., np.newaxis] + _TINT * colours).astype(np.uint8)


def as_heat(values: np.ndarray) -> np.ndarray:
    """Returns the positive part of an explanation as a heat map, (H, W) float, 0..1, the highest value being 1."""
    positive = np.maximum(values, 0)
    return positive / (positive.max() or 1)


def explanation(caption: str, photo: np.ndarray, explained: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Draws a photo, and explanations of its classes over it.

    Args:
        caption: text above the photo.
        photo: (H, W, 3) uint8.
        explained: title and values, (H, W), of each explanation.
    """
    picture = thumbnail(photo)
    size = picture.shape[:2]
    heat_maps = [tf.image.resize(as_heat(values)[..., np.newaxis], size).numpy() for _, values in explained]
    mapped = MappedPhoto(picture, np.concatenate(heat_maps, axis=-1), caption, [title for title, _ in explained])
    return class_score_maps([mapped], "share of the place that speaks most for the class")


def class_score_maps(photos: Sequence[MappedPhoto], scale_label: str = _HEAT_LABEL) -> Figure:
    """Draws a row for each photo: the photo, then the heat map of each of its classes over the photo in grey.

    Args:
        photos: the photos with their heat maps.
        scale_label: what the colours from 0 to 1 stand for.
    """
    columns = 1 + max(len(mapped.titles) for mapped in photos)
    size = ((_CELL_INCHES + 0.4) * columns, (_CELL_INCHES + 0.6) * len(photos))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(photos), columns, squeeze=False)
    for row, mapped in zip(grid, photos, strict=True):
        row[0].imshow(mapped.photo)
        row[0].set_title(figure_text(mapped.caption), fontsize=8)
        for axes, heat, title in zip(row[1:], np.moveaxis(mapped.heat_maps, -1, 0), mapped.titles, strict=False):
            axes.imshow(overlay(mapped.photo, heat))
            axes.set_title(figure_text(title), fontsize=8)
    for axes in grid.flat:
        axes.axis("off")
    bar = figure.colorbar(_HEAT, ax=grid, location="bottom", fraction=0.02, aspect=40)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(scale_label, fontsize=8)
    return figure


def heat_scale() -> Figure:
    """Draws the colours of the heat maps by themselves, with what they stand for."""
    figure = Figure(figsize=(5, 0.3))
    figure.colorbar(_HEAT, cax=figure.subplots(), orientation="horizontal", label=_HEAT_LABEL)
    return figure
