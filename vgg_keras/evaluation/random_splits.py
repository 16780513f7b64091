"""Draws random splits with as many training images of each class (arXiv:1409.1556, appendix B, Caltech-101 and 256)."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

# The part of the training images that chooses the hyper-parameter C.
HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class RandomSplit:
    """A random division of a data set's images, as indices in ascending order.

    Attributes:
        fitted: (F,) int64, the training images from which the SVM learns while C is chosen.
        held_out: (H,) int64, the training images by which C is chosen.
        test: (T,) int64, the images on which it is tested.
    """

    fitted: np.ndarray
    held_out: np.ndarray
    test: np.ndarray

    @property
    def training(self) -> np.ndarray:
        """(F + H,) int64, all training images."""
        return np.union1d(self.fitted, self.held_out)

    def record(self, names: Sequence[str]) -> dict[str, list[str]]:
        """Returns the names of the images in each part, ready for JSON.

        Args:
            names: names of all images of the data set.
        """
        parts = dataclasses.asdict(self)
        return {part: [names[index] for index in indices] for part, indices in parts.items()}


def draw(
    labels: np.ndarray,
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    count: int,
    train_per_class: int,
    test_per_class: int,
    seed: int,
) -> list[RandomSplit]:
    """Draws random splits, each class by itself.

    The images of a class are ordered by a hash of the seed, the number of the split, the class and the image's name.
    The draw is therefore the same on every machine and in every version of NumPy, and neither the order of the records
    nor the other classes have a part in it. The first images of this order are for training, a fifth of them held out;
    those that follow are for the test.

    Args:
        labels: (N,) int32, class indices of all images.
        names: names of the images.
        class_names: names of the classes in the order of their indices.
        count: number of splits.
        train_per_class: number of training images of each class, at least 2.
        test_per_class: largest number of test images of each class; 0 takes all others.
        seed: seed of the draw.

    Raises:
        UserError: a class has too few images to train with that many and to test on one.
    """
    _require_enough(np.bincount(labels, minlength=len(class_names)), class_names, train_per_class)
    num_held_out = max(1, round(HELD_OUT * train_per_class))
    end = train_per_class + test_per_class if test_per_class else len(labels)
    splits = []
    for number in range(count):
        ordered = [
            _shuffled(np.flatnonzero(labels == index), names, f"{seed}\n{number}\n{class_name}")
            for index, class_name in enumerate(class_names)
        ]
        bounds = ((num_held_out, train_per_class), (0, num_held_out), (train_per_class, end))
        parts = (np.sort(np.concatenate([one[first:last] for one in ordered])) for first, last in bounds)
        splits.append(RandomSplit(*parts))
    return splits


def _shuffled(indices: np.ndarray, names: Sequence[str], salt: str) -> np.ndarray:
    """Returns indices of images in the order of the hashes of their names."""
    digests = [hashlib.sha256(f"{salt}\n{names[index]}".encode()).digest() for index in indices]
    return indices[sorted(range(len(indices)), key=digests.__getitem__)]


def _require_enough(counts: np.ndarray, class_names: Sequence[str], train_per_class: int) -> None:
    """Checks that each class has its training images and one to test, since a recall of none is not defined.

    Raises:
        UserError: a class has fewer.
    """
    too_few = np.flatnonzero(counts <= train_per_class)
    if not too_few.size:
        return
    smallest = int(counts.argmin())
    most = int(counts[smallest]) - 1
    others = f" ({counted(too_few.size, 'class', 'classes')} have too few)" if too_few.size > 1 else ""
    lower = f"use --train_per_class={most} at most, or " if most > 1 else ""
    raise UserError(
        f"--train_per_class={train_per_class} needs {train_per_class + 1} images of each class, one of them to test; "
        f"class {class_names[smallest]} has {counts[smallest]}{others}; {lower}leave such classes out of the data set"
    )
