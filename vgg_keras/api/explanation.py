"""Holds the explanation of a photo's label, and draws it over the photo."""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.evaluation import figures
from vgg_keras.inference.predictions import Label


@dataclasses.dataclass(frozen=True, repr=False)
class Explanation:
    """How much each pixel of a photo speaks for a class; shows itself as a picture in a notebook.

    Attributes:
        photo: (H, W, 3) uint8, RGB.
        values: (H, W) float32; below 0 where a pixel speaks against the class.
        label: the class, with its posterior by dense evaluation.
        method: how it was computed, one of `protocol.EXPLANATIONS`.
    """

    photo: np.ndarray
    values: np.ndarray
    label: Label
    method: str

    @property
    def heat_map(self) -> np.ndarray:
        """The values as parts of the highest one: (H, W) float, 0..1, 0 where a pixel speaks against the class."""
        return figures.as_heat(self.values)

    def figure(self) -> Figure:
        """Draws the photo, and the explanation over it."""
        return figures.explanation("", self.photo, [(f"{self.label}, {self.method}", self.values)])

    def _repr_png_(self) -> bytes:
        return figures.png_bytes(self.figure())

    def __repr__(self) -> str:
        height, width = self.values.shape
        return f"Explanation({self.label} by {self.method}, {height}x{width} pixels)"
