"""Compares an exported model with its source on real photos: agreement, size and latency."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

# Largest difference in posterior that is allowed between a model and its export. In float32 both compute the same
# function by different operations; 1e-4 is far above their rounding errors and far below anything that changes a
# decision. bfloat16 has about three decimal digits.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1}
# 8-bit integers may change a close decision. If fewer photos than this share keep their best class, something else is
# wrong.
_INT8_SAME_TOP1 = 0.75

_COLUMNS = ("format", "MB", "photos", "what it is shown", "ms a photo", "same top-1", "largest diff.")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """The agreement of a model's posteriors with those of its source.

    Attributes:
        num_photos: number of photos on which they were compared.
        same_top1: number of photos on which the best class is the same.
        largest_difference: largest absolute difference in posterior, from 0 to 1.
    """

    COLUMNS: ClassVar = ("photos", "same best class", "largest difference in posterior")

    num_photos: int
    same_top1: int
    largest_difference: float

    @classmethod
    def measure(cls, answers: np.ndarray, expected: np.ndarray) -> "Agreement":
        """Compares a model's posteriors with those of its source: (N, classes) each."""
        same = answers.argmax(axis=1) == expected.argmax(axis=1)
        return cls(len(answers), int(same.sum()), float(np.abs(answers - expected).max()))

    @property
    def same(self) -> str:
        """On how many photos the best class is the same, in words."""
        return f"{self.same_top1} of {self.num_photos}"

    def row(self) -> tuple[str, ...]:
        """Returns the cells of a row of COLUMNS."""
        return str(self.num_photos), str(self.same_top1), f"{self.largest_difference:.1e}"

    def __str__(self) -> str:
        return (
            f"{self.same_top1} of {self.num_photos} photos get the same best class; "
            f"posteriors differ by {self.largest_difference:.1e} at most"
        )


@dataclasses.dataclass(frozen=True)
class BoxAgreement:
    """The agreement of a model's boxes with those of its source.

    Attributes:
        num_photos: number of photos on which they were compared.
        largest_difference: largest absolute difference of a side, relative to the photo.
    """

    COLUMNS: ClassVar = ("photos", "largest difference of a side of a box")

    num_photos: int
    largest_difference: float
    same: ClassVar[str] = ""

    @classmethod
    def measure(cls, answers: np.ndarray, expected: np.ndarray) -> "BoxAgreement":
        """Compares a model's boxes with those of its source: (N, n, 4) each."""
        return cls(len(answers), float(np.abs(answers - expected).max()))

    def row(self) -> tuple[str, ...]:
        """Returns the cells of a row of COLUMNS."""
        return str(self.num_photos), f"{self.largest_difference:.1e}"

    def __str__(self) -> str:
        return (
            f"on {counted(self.num_photos, 'photo')} the sides of the boxes differ by "
            f"{self.largest_difference:.1e} of the photo at most"
        )


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A model in the format of some runtime.

    Attributes:
        name: name of the format.
        file: name of its file; "" for a folder.
        size: size of its file or folder in bytes.
        run: function from images (1, H, W, 3) float32, RGB 0..255, to posteriors (1, classes).
        whole: whether it takes images of any size; otherwise it takes the centre crop only.
        exact: whether its posteriors must agree to float32 accuracy, unlike those of 8-bit integers.
    """

    name: str
    size: int
    run: Callable[[np.ndarray], np.ndarray]
    whole: bool
    exact: bool = True
    file: str = ""


@dataclasses.dataclass(frozen=True)
class RuntimeComparison:
    """The agreement and latency of a converted model on photos.

    Attributes:
        model: the model.
        num_photos: number of photos.
        shown: the part of each photo that it was shown, in words.
        milliseconds: median time for a photo in milliseconds.
        agreement: agreement with the SavedModel; None for the SavedModel itself.
    """

    model: ConvertedModel
    num_photos: int
    shown: str
    milliseconds: float
    agreement: Agreement | None = None


def compare_runtimes(
    reference: ConvertedModel,
    converted: Sequence[ConvertedModel],
    photos: Sequence[bytes],
    smallest_side: int,
    crop_size: int,
) -> list[RuntimeComparison]:
    """Compares converted models with the SavedModel on photos.

    Args:
        reference: the SavedModel.
        converted: the converted models.
        photos: encoded photos.
        smallest_side: test scale Q in pixels.
        crop_size: side of the centre crop in pixels.

    Returns:
        Comparisons on whole images, then on centre crops; in each group the SavedModel comes first.

    Raises:
        UserError: a model does not agree with the SavedModel.
    """
    rescaled = [transforms.rescale(transforms.decode(photo), smallest_side) for photo in photos]
    shown_images = {
        "the whole": (True, [image[tf.newaxis].numpy() for image in rescaled]),
        f"the centre, {crop_size}x{crop_size}": (
            False,
            [transforms.center_crop(image, crop_size)[tf.newaxis].numpy() for image in rescaled],
        ),
    }
    comparisons = []
    for shown, (whole, images) in shown_images.items():
        compared = [model for model in converted if model.whole == whole]
        if not compared:
            continue
        expected, milliseconds = _run_timed(reference, images)
        comparisons.append(RuntimeComparison(reference, len(images), shown, milliseconds))
        for model in compared:
            answers, milliseconds = _run_timed(model, images)
            agreement = Agreement.measure(answers, expected)
            _require_agreement(model, agreement)
            comparisons.append(RuntimeComparison(model, len(images), shown, milliseconds, agreement))
    return comparisons


def comparison_table(comparisons: Sequence[RuntimeComparison]) -> ShownTable:
    """Returns agreement, size and latency of each model as a table."""
    rows = []
    for one in comparisons:
        found = one.agreement
        same = found.same if found else ""
        largest = f"{found.largest_difference:.1e}" if found else ""
        megabytes = f"{one.model.size / 1e6:.1f}"
        milliseconds = f"{one.milliseconds:.0f}"
        rows.append((one.model.name, megabytes, str(one.num_photos), one.shown, milliseconds, same, largest))
    return ShownTable("agreement with the SavedModel", _COLUMNS, rows)


def _require_agreement(model: ConvertedModel, found: Agreement) -> None:
    # Negated, so that a NaN fails too.
    if model.exact and not found.largest_difference <= TOLERANCES["float32"]:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported")
    if not found.same_top1 >= _INT8_SAME_TOP1 * found.num_photos:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported. Calibrate on more photos")


def _run_timed(model: ConvertedModel, images: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Returns the posteriors of all images, and the median time for an image in milliseconds."""
    answers, seconds = [], []
    model.run(images[0])  # not timed: the first call includes one-time set-up
    for image in images:
        start = time.perf_counter()
        answers.append(model.run(image)[0])
        seconds.append(time.perf_counter() - start)
    return np.stack(answers), 1000 * float(np.median(seconds))
