"""Holds the class-score map of a photo, and draws it over the photo."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.data import transforms
from vgg_keras.evaluation import figures
from vgg_keras.evaluation.figures import MappedPhoto
from vgg_keras.inference.predictions import label_index
from vgg_keras.inference.score_maps import enlarge_map


@dataclasses.dataclass(frozen=True, repr=False)
class ScoreMap:
    """The class-score map of a photo (arXiv:1409.1556, sect. 3.2); shows itself as a picture in a notebook.

    Attributes:
        photo: (H, W, 3) uint8, RGB.
        scores: (h, w, classes) float32, the class scores (logits) at each position of the net's window, which moves in
            steps of 32 pixels over the photo rescaled to the test scale.
        test_scale: test scale Q, the smaller side in pixels to which the photo was rescaled.
        input_size: side of the net's window in pixels.
        labels: label names in the order of the class indices.
    """

    photo: np.ndarray
    scores: np.ndarray
    test_scale: int
    input_size: int
    labels: Sequence[str]

    @property
    def posteriors(self) -> np.ndarray:
        """The softmax at each position: (h, w, classes) float32, 0..1."""
        raised = np.exp(self.scores - self.scores.max(axis=-1, keepdims=True))
        return raised / raised.sum(axis=-1, keepdims=True)

    def heat_map(self, label: str | int, size: tuple[int, int] | None = None) -> np.ndarray:
        """Returns how strongly each place of the photo speaks for a class: (H, W) float, 0..1.

        Args:
            label: label name or index of the class.
            size: height H and width W of the result in pixels; None: those of the photo.

        Raises:
            UserError: there is no such class.
        """
        return self._enlarged([label_index(label, self.labels)], size or self.photo.shape[:2])[..., 0]

    def figure(self, top: int = 2) -> Figure:
        """Draws the photo, and the maps of the best classes over it.

        Args:
            top: number of classes.
        """
        # As in the class's label: the softmax of the mean scores.
        mean = np.exp(self.scores.mean(axis=(0, 1)) - self.scores.mean(axis=(0, 1)).max())
        mean /= mean.sum()
        best = np.argsort(-mean, kind="stable")[:top].tolist()
        picture = figures.thumbnail(self.photo)
        titles = [f"{self.labels[index]} {mean[index]:.2f}, Q = {self.test_scale}" for index in best]
        return figures.class_score_maps([MappedPhoto(picture, self._enlarged(best, picture.shape[:2]), "", titles)])

    def _enlarged(self, classes: Sequence[int], size: tuple[int, ...]) -> np.ndarray:
        height, width = transforms.rescaled_size(self.photo.shape[:2], self.test_scale).numpy().tolist()
        return enlarge_map(self.posteriors[..., list(classes)], (height, width), (size[0], size[1]), self.input_size)

    def _repr_png_(self) -> bytes:
        return figures.png_bytes(self.figure())

    def __repr__(self) -> str:
        rows, columns, classes = self.scores.shape
        return f"ScoreMap({rows}x{columns} positions at Q = {self.test_scale}, {classes} classes)"
