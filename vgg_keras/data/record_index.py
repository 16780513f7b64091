"""Finds where in its files each record of a split lies, so that an epoch can read the records in any order.

Where a record of a TFRecord file begins follows from the sizes of those before it. The sizes are kept in a small file
beside the records, which `data_prep` writes. For other data sets they are found the first time: each record begins with
its length.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data.tfrecord_frames import FRAME_BYTES, LENGTH
from vgg_keras.utils import array_files, console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically

# Threads that wait for a disk or a server while the lengths are read.
_READERS = 16


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """Where the N records of a split lie, those of one file after those of the other.

    Attributes:
        paths: the record files.
        file: (N,) int32, the file of each record, an index into `paths`.
        offset: (N,) int64, where in its file each record begins, in bytes.
        size: (N,) int64, bytes of each record, with its length and checksums.
    """

    paths: list[str]
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.size)

    @classmethod
    def of_split(cls, data: Any, split: str) -> "RecordIndex":
        """Finds the records of a split, such as "train" or "train[:90%]".

        Args:
            data: the `datasets.ImageData` whose files are complete.
            split: name of the split.

        Raises:
            tf.errors.DataLossError: a file does not hold as many records as the data set's description says.
        """
        instructions = data.builder.info.splits[split].file_instructions
        sizes = _sizes_by_file(data, {str(one.filename) for one in instructions})
        parts = []
        for one in instructions:
            of_file = sizes[str(one.filename)]
            end = len(of_file) if one.take == -1 else one.skip + one.take
            parts.append((np.cumsum(of_file) - of_file, of_file, slice(one.skip, end)))
        return cls(
            [_absolute(str(one.filename)) for one in instructions],
            np.repeat(np.arange(len(parts), dtype=np.int32), [len(size[chosen]) for _, size, chosen in parts]),
            np.concatenate([offset[chosen] for offset, _, chosen in parts]),
            np.concatenate([size[chosen] for _, size, chosen in parts]),
        )

    @functools.cached_property
    def _tensors(self) -> tuple[tf.Tensor, ...]:
        # Made outside of the function that reads: inside, they would become a part of its graph, of ImageNet 26 MB.
        with tf.init_scope(), tf.device("/cpu:0"):
            return tuple(map(tf.constant, (self.paths, self.file, self.offset, self.size)))

    def read(self, record: tf.Tensor) -> tf.Tensor:
        """Reads one record, inside `tf.data` or eagerly; TensorFlow checks its checksums.

        Args:
            record: () integer, index of the record.

        Returns:
            () string, its content.

        Raises:
            tf.errors.DataLossError: the record is damaged.
        """
        paths, files, offsets, sizes = self._tensors
        path = tf.gather(paths, tf.gather(files, record))
        size, offset = tf.gather(sizes, record), tf.gather(offsets, record)
        # tf.data.TFRecordDataset cannot begin in the middle of a file, the operation behind it can.
        from_here_on = tf.raw_ops.TFRecordDatasetV2(
            filenames=path[tf.newaxis], compression_type="", buffer_size=size, byte_offsets=offset[tf.newaxis]
        )
        records = tf.data.experimental.from_variant(from_here_on, tf.TensorSpec((), tf.string))
        return records.take(1).get_single_element()


def _absolute(path: str) -> str:
    """Returns the path that another process, such as one of a `tf.data` service, finds the file by."""
    return path if "://" in path else os.path.abspath(path)


def _sizes_by_file(data: Any, wanted: set[str]) -> Mapping[str, np.ndarray]:
    """Returns the sizes of the records of some files, those of whole splits together, in bytes."""
    found: dict[str, np.ndarray] = {}
    for name, info in data.builder.info.splits.items():
        paths = [str(path) for path in info.filepaths]
        if not wanted.isdisjoint(paths):
            ends = np.cumsum(info.shard_lengths)[:-1]
            found |= zip(paths, np.split(_sizes_of_split(data, name), ends), strict=True)
    return found


def _path(folder: Path, split: str) -> Path:
    # A .npz file holds a checksum of its content.
    return folder / f"record_sizes-{split}.npz"


def _sizes_of_split(data: Any, split: str) -> np.ndarray:
    """Returns the sizes of all records of a whole split, (N,) int64 bytes; keeps them for the next time."""
    info, folder = data.builder.info.splits[split], Path(data.builder.data_dir)
    shards = [Path(shard) for shard in info.filepaths]
    kept = _kept_sizes(_path(folder, split), shards, info.shard_lengths)
    if kept is not None:
        return kept
    sizes = _read_sizes(shards, info.shard_lengths)
    # A folder that cannot be written to is read again the next time.
    with contextlib.suppress(OSError, UserError):
        _keep(folder, split, sizes)
    return sizes


def write(folder: Path, split: str, shards: Sequence[Path], lengths: Sequence[int]) -> None:
    """Finds the sizes of the records of a split, and keeps them in a file in the data set's folder.

    Args:
        folder: the data set's folder.
        split: name of the whole split.
        shards: its record files, in their order.
        lengths: number of records in each.

    Raises:
        OSError: the file cannot be written.
        tf.errors.DataLossError: a record file does not hold as many records.
    """
    _keep(folder, split, _read_sizes(shards, lengths))


def _keep(folder: Path, split: str, sizes: np.ndarray) -> None:
    write_atomically(_path(folder, split), functools.partial(_save, sizes))


def _save(sizes: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:  # to a path, NumPy would append its suffix
        np.savez_compressed(file, sizes=sizes)


def _kept_sizes(path: Path, shards: Sequence[Path], lengths: Sequence[int]) -> np.ndarray | None:
    """Returns the sizes that were kept, or None if there are none, or if they are not those of the files."""
    try:
        sizes = array_files.read_arrays(path, "").get("sizes", np.zeros(0))
    except UserError:  # it is missing or damaged
        return None
    if sizes.dtype != np.int64 or sizes.shape != (sum(lengths),):
        return None
    totals = [part.sum() for part in np.split(sizes, np.cumsum(lengths)[:-1])]
    return sizes if totals == [shard.stat().st_size for shard in shards] else None


def _read_sizes(shards: Sequence[Path], lengths: Sequence[int]) -> np.ndarray:
    found = []
    with (
        ThreadPoolExecutor(_READERS) as readers,
        console.progress_bar("where the records lie", len(shards), " files", leave=False) as bar,
    ):
        for shard, length, sizes in zip(shards, lengths, readers.map(sizes_in_file, shards), strict=True):
            if len(sizes) != length or sizes.sum() != shard.stat().st_size:
                message = f"{shard.name}: {len(sizes):,} records, should be {length:,}"
                raise tf.errors.DataLossError(None, None, message)
            found.append(sizes)
            bar.update()
    return np.concatenate(found)


def sizes_in_file(path: Path) -> np.ndarray:
    """Returns the sizes of the records of a file, with their lengths and checksums: (n,) int64 bytes.

    Only the lengths are read. If one is damaged, the sizes do not add up to that of the file: the last one tells of it.

    Args:
        path: the record file.
    """
    sizes, offset = [], 0
    with path.open("rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        while offset < end:
            head = os.pread(file.fileno(), LENGTH.size, offset)
            size = FRAME_BYTES + (LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0)
            sizes.append(size)
            offset += size
    return np.array(sizes, np.int64)
