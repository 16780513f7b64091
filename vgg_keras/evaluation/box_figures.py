"""Draws photos with the boxes of their objects."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.escaping import figure_text

_COLUMNS, _CELL_INCHES = 4, 2.6


@dataclasses.dataclass(frozen=True)
class BoxedPhoto:
    """A photo, the boxes of its objects, and a predicted box.

    Attributes:
        photo: (H, W, 3) uint8.
        true_boxes: (n, 4) float, (ymin, xmin, ymax, xmax) relative to the photo.
        predicted: (4,) float, the same.
        right: whether the predicted box is right.
        caption: text above the photo.
    """

    photo: np.ndarray
    true_boxes: np.ndarray
    predicted: np.ndarray
    right: bool
    caption: str


def _outline(axes, photo: np.ndarray, box: np.ndarray, colour: str, width: float) -> None:
    height, length = photo.shape[:2]
    ymin, xmin, ymax, xmax = box * [height, length, height, length]
    # imshow draws the first pixel from -0.5 to 0.5.
    axes.add_patch(
        Rectangle((xmin - 0.5, ymin - 0.5), xmax - xmin, ymax - ymin, fill=False, edgecolor=colour, linewidth=width)
    )


def boxed_photos(photos: Sequence[BoxedPhoto]) -> Figure:
    """Draws photos in rows: their objects in white, the predicted box in green if it is right, else in red."""
    rows = ceil_divide(len(photos), _COLUMNS)
    figure = Figure(figsize=(_CELL_INCHES * _COLUMNS, (_CELL_INCHES + 0.3) * rows), layout="constrained")
    for axes, boxed in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, photos, strict=False):
        axes.imshow(boxed.photo)
        for box in boxed.true_boxes:
            _outline(axes, boxed.photo, box, "black", 3.0)
            _outline(axes, boxed.photo, box, "white", 1.5)
        _outline(axes, boxed.photo, boxed.predicted, "limegreen" if boxed.right else "red", 2.0)
        axes.set_title(figure_text(boxed.caption), fontsize=8)
    for axes in figure.axes:
        axes.axis("off")
    return figure
