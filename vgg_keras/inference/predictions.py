"""Names the classes with the highest posteriors."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_keras.utils.escaping import visible


@dataclasses.dataclass(frozen=True)
class Label:
    """A class predicted for a photo.

    Attributes:
        name: label name of the class.
        index: index of the class.
        posterior: posterior of the class, 0..1.
    """

    name: str
    index: int
    posterior: float

    def __str__(self) -> str:
        return f"{visible(self.name)} {self.posterior:.3f}"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The labels of a photo.

    Attributes:
        file: file of the photo, or "" if it is not of a file.
        labels: classes with the highest posteriors, in descending order.
    """

    file: str
    labels: Sequence[Label]

    @property
    def best(self) -> Label:
        """The class with the highest posterior."""
        return self.labels[0]

    def lines(self) -> list[str]:
        """Returns a line of text for each label."""
        return [str(label) for label in self.labels]

    def __repr__(self) -> str:
        return f"{visible(self.file)}{': ' if self.file else ''}{', '.join(self.lines())}"


def best_labels(posteriors: np.ndarray, names: Sequence[str], count: int) -> list[Label]:
    """Returns the classes with the highest posteriors, in descending order; of equal ones the first class comes first.

    Args:
        posteriors: (classes,), 0..1.
        names: label names in the order of the class indices.
        count: number of classes to return, as far as there are so many.
    """
    best = np.argsort(-posteriors, kind="stable")[:count].tolist()
    return [Label(names[index], index, float(posteriors[index])) for index in best]
