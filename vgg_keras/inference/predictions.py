"""Names the classes with the highest posteriors, and tells where their objects are."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_keras.data.pixel_boxes import PixelBox
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.escaping import visible

# Number of names that a message shows of many.
_SHOWN_NAMES = 10


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
class LocatedLabel(Label):
    """A class predicted for a photo, and where its object is.

    Attributes:
        box: the object's box in pixels of the photo, which is turned upright by its EXIF orientation.
    """

    box: PixelBox


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


@dataclasses.dataclass(frozen=True, repr=False)
class Localization(Prediction):
    """The objects that were found on a photo.

    Attributes:
        labels: classes with the highest posteriors, in descending order, each with the box of its object.
    """

    labels: Sequence[LocatedLabel]

    @property
    def best(self) -> LocatedLabel:
        """The class with the highest posterior, and its box."""
        return self.labels[0]


def best_labels(posteriors: np.ndarray, names: Sequence[str], count: int) -> list[Label]:
    """Returns the classes with the highest posteriors, in descending order; of equal ones the first class comes first.

    Args:
        posteriors: (classes,), 0..1.
        names: label names in the order of the class indices.
        count: number of classes to return, as far as there are so many.
    """
    best = np.argsort(-posteriors, kind="stable")[:count].tolist()
    return [Label(names[index], index, float(posteriors[index])) for index in best]


def label_index(label: str | int, names: Sequence[str]) -> int:
    """Returns the index of a class.

    Args:
        label: its label name or index.
        names: label names in the order of the class indices.

    Raises:
        UserError: there is no such class.
    """
    if isinstance(label, str):
        if label not in names:
            shown = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
            hint = did_you_mean(label, names) or f"; it knows {shown}"
            raise UserError(f"label={label} is not a class of the model{hint}")
        return list(names).index(label)
    if not 0 <= label < len(names):
        raise UserError(f"label={label} must be an index of the {len(names)} classes")
    return label
