"""Draws photos with the boxes of their objects, and how well predicted boxes fit."""

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.data import photo_files
from vgg_keras.data.pixel_boxes import to_pixels
from vgg_keras.training.objectives import MIN_IOU

# Colours of outlines, from the outside in.
_WHITE, _BLACK, _GREEN, _RED = (255, 255, 255), (0, 0, 0), (50, 205, 50), (255, 0, 0)
_OBJECT, _RIGHT, _WRONG = (_BLACK, _WHITE), (_GREEN, _GREEN, _BLACK), (_RED, _RED, _BLACK)
# What the colours mean, for the text beside the pictures.
LEGEND = "White with a black rim: the objects; green: a predicted box that is right; red: one that is wrong."
FIRST = "The first photos of the split, each with the box that fits best."
_BARS = 20


def with_boxes(photo: np.ndarray, true_boxes: np.ndarray, predicted: np.ndarray, *, right: bool) -> np.ndarray:
    """Draws boxes on a photo: its objects in white, the predicted box in green if it is right, else in red.

    Args:
        photo: (H, W, 3) uint8.
        true_boxes: (n, 4) float, (ymin, xmin, ymax, xmax) relative to the photo.
        predicted: (4,) float, the same.
        right: whether the predicted box is right.

    Returns:
        (H, W, 3) uint8.
    """
    photo = with_objects(photo, true_boxes)
    return photo_files.outlined(photo, to_pixels(predicted, *photo.shape[:2]), _RIGHT if right else _WRONG)


def with_objects(photo: np.ndarray, true_boxes: Iterable[np.ndarray]) -> np.ndarray:
    """Draws the boxes of a photo's objects in white.

    Args:
        photo: (H, W, 3) uint8.
        true_boxes: of each object (4,) float, (ymin, xmin, ymax, xmax) relative to the photo.

    Returns:
        (H, W, 3) uint8.
    """
    for box in true_boxes:
        photo = photo_files.outlined(photo, to_pixels(box, *photo.shape[:2]), _OBJECT)
    return photo


def overlaps(values: np.ndarray) -> Figure:
    """Draws how many photos have a box of which IoU; the bars of those that count as right are blue.

    Args:
        values: (M,) float, 0..1, the IoU of each photo's best box.
    """
    figure = Figure(figsize=(7, 2.6))
    axes = figure.subplots()
    counts, edges = np.histogram(values, bins=_BARS, range=(0, 1))
    colours = np.where(edges[:-1] >= MIN_IOU, "tab:blue", "tab:red")
    axes.bar(edges[:-1], counts, width=1 / _BARS, align="edge", color=colours.tolist(), edgecolor="none")
    axes.axvline(MIN_IOU, color="tab:gray", linestyle="--", label=f"right above {MIN_IOU:g}")
    axes.set(xlabel="intersection over union of the best box", ylabel="photos", xlim=(0, 1))
    axes.legend(loc="upper left")
    return figure
