"""Turns boxes that are relative to a photo into whole pixels of it."""

from typing import NamedTuple

import numpy as np


class PixelBox(NamedTuple):
    """A box in whole pixels: `photo[ymin:ymax, xmin:xmax]` is the part of the photo inside it.

    Attributes:
        ymin: number of rows above it.
        xmin: number of columns to the left of it.
        ymax: row below its last one.
        xmax: column to the right of its last one.
    """

    ymin: int
    xmin: int
    ymax: int
    xmax: int


def to_pixels(box: np.ndarray, height: int, width: int) -> PixelBox:
    """Returns a relative box in pixels, cut at the photo's border and rounded (halves up): one pixel of it or more.

    >>> to_pixels(np.array([0.25, -0.1, 0.5, 0.43]), height=100, width=200)
    PixelBox(ymin=25, xmin=0, ymax=50, xmax=86)

    Args:
        box: (4,) float, finite: (ymin, xmin, ymax, xmax) relative to the photo. It may reach past the photo, and a net
            may predict an end before its begin; such a side has one pixel, at its middle.
        height: height of the photo in pixels.
        width: width of the photo in pixels.
    """
    ends, size = np.asarray(box, np.float64).reshape(2, 2), np.array([height, width])
    ends = np.where(ends[0] <= ends[1], ends, ends.mean(axis=0))
    pixels = np.floor(np.clip(ends * size, 0, size) + 0.5).astype(int)
    pixels[0] = np.minimum(pixels[0], size - 1)
    pixels[1] = np.maximum(pixels[1], pixels[0] + 1)
    return PixelBox(*pixels.ravel().tolist())
