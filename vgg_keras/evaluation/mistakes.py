"""Keeps which images each result of an evaluation got wrong, so that any two results on the same images can be paired.

Needs no TensorFlow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.evaluation import records, tables
from vgg_keras.evaluation.paired import PairedDifference, paired_difference
from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically

FILE = "mistakes.npz"


@dataclasses.dataclass(frozen=True)
class MarkedResult:
    """A result of an evaluation, and the images that it got wrong.

    Attributes:
        record: the result as `evaluation.json` holds it.
        wrong: (2, N) bool: whether each image is a top-1 error, and a top-5 error.
    """

    record: Mapping[str, Any]
    wrong: np.ndarray

    def against(self, other: "MarkedResult") -> tuple[PairedDifference, PairedDifference]:
        """Returns this result's top-1 and top-5 error minus those of another one on the same images."""
        top1, top5 = (paired_difference(*pair) for pair in zip(other.wrong, self.wrong, strict=True))
        return top1, top5


def save(folder: Path, wrong: Sequence[np.ndarray]) -> None:
    """Writes the images that the results of an evaluation got wrong, complete or not at all.

    Args:
        folder: the evaluation's folder.
        wrong: (2, N) bool for each result, as `MarkedResult` has it.
    """
    packed = np.packbits(np.stack(wrong), axis=-1)  # an eighth: of 50,000 images 12 kB for each result
    write_atomically(folder / FILE, lambda temporary: np.savez(temporary, wrong=packed))


def load(folder: Path, record: Mapping[str, Any]) -> list[MarkedResult]:
    """Reads what `save` wrote, and checks it against the errors in the record.

    Args:
        folder: the evaluation's folder.
        record: content of its `evaluation.json`.

    Raises:
        UserError: the file is missing, as in evaluations of earlier versions, or does not belong to the record.
    """
    path, way_out = folder / FILE, f"remove {folder}, and evaluate again"
    packed = array_files.read_arrays(path, way_out).get("wrong")
    results, num_images = record["results"], record["images"]["num_images"]
    expected = (len(results), 2, -(-num_images // 8))
    if packed is None or packed.shape != expected or packed.dtype != np.uint8:
        raise side_files.damaged(path, f"it does not mark {num_images:,} images in {len(results)} results", way_out)
    wrong = np.unpackbits(packed, axis=-1, count=num_images).astype(bool)
    errors = [[result["top1_error"], result["top5_error"]] for result in results]
    if not np.allclose(100 * wrong.mean(axis=-1), errors, atol=1e-6):
        raise side_files.damaged(path, "its mistakes are not those of evaluation.json beside it", way_out)
    return [MarkedResult(result, marks) for result, marks in zip(results, wrong, strict=True)]


def load_evaluation(folder: Path) -> tuple[dict[str, Any], list[MarkedResult]]:
    """Reads a finished evaluation: its record and its results.

    Raises:
        UserError: the folder holds no finished evaluation, or a file in it is damaged.
    """
    record = records.read_results(folder / tables.RECORD)
    return record, load(folder, record)


def require_same_images(folder: Path, images: Mapping[str, Any], other: Path, other_images: Mapping[str, Any]) -> None:
    """Checks that two evaluations are of the same images.

    Args:
        folder: folder of the first.
        images: its images, as `SplitManifest.identity` describes them.
        other: folder of the second.
        other_images: its images.

    Raises:
        UserError: they are not.
    """
    key = "sha256_of_classes_labels_sizes"
    if images[key] != other_images[key]:
        described = [
            f"{where} of {found['num_images']:,} images of {found['data_set']}, {found['split']}"
            for where, found in ((folder, images), (other, other_images))
        ]
        raise UserError(f"two evaluations can be compared on the same images only: {' is, and '.join(described)}")
