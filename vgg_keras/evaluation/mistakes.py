"""Keeps which images each result of an evaluation got wrong, so that any two results on the same images can be paired.

Needs no TensorFlow.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.evaluation import records, tables
from vgg_keras.evaluation.layout import MISTAKES
from vgg_keras.evaluation.paired import PairedDifference, paired_difference
from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically


@dataclasses.dataclass(frozen=True)
class MarkedResult:
    """A result of an evaluation, and the images that it got wrong.

    Attributes:
        record: the result as `records.read_results` has it.
        wrong: (2, N) bool: whether each image is a top-1 error, and a top-5 error; None if an evaluation of an earlier
            version did not keep it.
    """

    record: Mapping[str, Any]
    wrong: np.ndarray | None

    def against(self, other: "MarkedResult") -> tuple[PairedDifference, PairedDifference] | None:
        """Returns this result's top-1 and top-5 error minus those of another one on the same images.

        None if one of them does not know which images it got wrong.
        """
        if self.wrong is None or other.wrong is None:
            return None
        top1, top5 = (paired_difference(*pair) for pair in zip(other.wrong, self.wrong, strict=True))
        return top1, top5


@dataclasses.dataclass(frozen=True)
class FinishedResults:
    """The results of a finished evaluation.

    Attributes:
        folder: the evaluation's folder.
        task: one of `architectures.TASKS`: what was tested.
        images: its images, as `SplitManifest.identity` or `BoxedSplit.identity` describes them.
        results: its results in their order.
    """

    folder: Path
    task: str
    images: Mapping[str, Any]
    results: Sequence[MarkedResult]

    def require_comparable(self, task: str, images: Mapping[str, Any]) -> None:
        """Checks that the evaluation is of a task and of some images, described as its own are.

        Raises:
            UserError: it is of another task, of other images, or of other boxes on them.
        """
        if self.task != task:
            raise UserError(
                f"{self.folder} is an evaluation of {self.task}, this one is of {task}; only errors of one kind can "
                "be compared"
            )
        if self.images[records.SAME_IMAGES] != images[records.SAME_IMAGES]:
            theirs, ours = (
                f"{found['num_images']:,} images of {found['data_set']}, {found['split']}"
                for found in (self.images, images)
            )
            raise UserError(
                f"{self.folder} is an evaluation of {theirs}, this one is of {ours}; only results on the same images "
                "can be compared"
            )
        if self.images.get(records.SAME_BOXES) != images.get(records.SAME_BOXES):
            raise UserError(f"{self.folder} is an evaluation of other boxes on the same images; evaluate it again")


def save(folder: Path, wrong: Sequence[np.ndarray]) -> None:
    """Writes the images that the results of an evaluation got wrong, complete or not at all.

    Args:
        folder: the evaluation's folder.
        wrong: (2, N) bool for each result, as `MarkedResult` has it.
    """
    packed = np.packbits(np.stack(wrong), axis=-1)  # an eighth: of 50,000 images 12 kB for each result
    write_atomically(folder / MISTAKES, lambda temporary: np.savez(temporary, wrong=packed))


def load(folder: Path) -> FinishedResults:
    """Reads the results of a finished evaluation, and which images they got wrong, as far as it kept that.

    Raises:
        UserError: the folder holds no finished evaluation, or a file in it is damaged.
    """
    record = records.read_results(folder / tables.RECORD)
    results, num_images = record["results"], record["images"]["num_images"]
    wrong: Sequence[np.ndarray | None] = [None] * len(results)
    if os.path.lexists(folder / MISTAKES):
        wrong = list(_read_wrong(folder, results, num_images))
    return FinishedResults(folder, record["task"], record["images"], list(map(MarkedResult, results, wrong)))


def _read_wrong(folder: Path, results: Sequence[Mapping[str, Any]], num_images: int) -> np.ndarray:
    """Returns what `save` wrote, (results, 2, N) bool, after a check against the errors on record."""
    path, way_out = folder / MISTAKES, f"remove {folder}, and evaluate again"
    packed = array_files.read_arrays(path, way_out).get("wrong")
    expected = (len(results), 2, ceil_divide(num_images, 8))
    if packed is None or packed.shape != expected or packed.dtype != np.uint8:
        raise side_files.damaged(path, f"it does not mark {num_images:,} images in {len(results)} results", way_out)
    wrong = np.unpackbits(packed, axis=-1, count=num_images).astype(bool)
    errors = [[result["top1_error"], result["top5_error"]] for result in results]
    if not np.allclose(100 * wrong.mean(axis=-1), errors, atol=1e-6):
        raise side_files.damaged(path, f"its mistakes are not those of {tables.RECORD} beside it", way_out)
    return wrong
