"""Finds photos that stand in two splits: a net that has learned them is tested on what it knows."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from vgg_keras.data.untuned import untuned
from vgg_keras.utils import console
from vgg_keras.utils.words import counted


def between_splits(data: Any) -> Iterator[str]:
    """Reads all records, and compares the encoded photos of each two splits, byte by byte through a hash.

    A photo that was encoded a second time is another one here.

    Args:
        data: the `datasets.ImageData`.

    Yields:
        A line for each two splits with photos in common, which names one of them.

    Raises:
        tf.errors.OpError: a record cannot be read.
    """
    splits = data.builder.info.splits
    total = sum(info.num_examples for info in splits.values())
    with console.progress_bar("photos in two splits", total, " photos", leave=False) as bar:
        digests = {split: _digests(data, split, bar) for split in splits}
    for first, second in itertools.combinations(digests, 2):
        common, positions, _ = np.intersect1d(digests[first], digests[second], return_indices=True)
        if len(common):
            (example,) = data.encoded(first).skip(int(positions.min())).take(1).as_numpy_iterator()
            name = example["name"].decode(errors="replace")
            named = f", such as {name}" if name else ""
            stand = "stands" if len(common) == 1 else "stand"
            yield f"{counted(len(common), 'photo')} of {first} {stand} in {second} too{named}"


def _digests(data: Any, split: str, bar: Any) -> np.ndarray:
    """Returns a hash of each photo of a split: (N,) uint64."""

    def hashed() -> Iterator[int]:
        for example in untuned(data.encoded(split)).as_numpy_iterator():
            bar.update()
            yield int.from_bytes(hashlib.blake2b(example["image_bytes"], digest_size=8).digest(), "little")

    return np.fromiter(hashed(), np.uint64, data.builder.info.splits[split].num_examples)
