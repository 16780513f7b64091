"""Stores rows of numbers on disk as they are computed, so that a stopped computation can resume."""

import time
import zlib
from pathlib import Path

import numpy as np

from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.files import write_atomically, write_bytes
from vgg_keras.utils.structures import number

# Between flushes to disk. A killed process loses no row; a power cut loses those since the last flush.
_SECONDS_BETWEEN_FLUSHES = 10.0
_SECONDS = {"seconds": number(0)}
_WAY_OUT = "remove it, and it is computed again"


class ResumableArray:
    """An array on disk, (num_images, width) float32, that stays usable when the process is killed.

    A row is missing until it is stored with its checksum. One that is damaged on the disk is missing again.

    Args:
        path: the `.npy` file, created if it is missing. Beside it a `.crc` file holds the rows' checksums, and a
            `.json` file the seconds spent.
        num_images: number of rows.
        width: number of columns.

    Attributes:
        seconds: seconds spent until the last flush, over all processes that worked on the file.

    Raises:
        UserError: the file is damaged, or has another shape or dtype.
    """

    def __init__(self, path: Path, num_images: int, width: int):
        self._seconds_path, (_, checksums_path) = path.with_suffix(".json"), files_of(path)
        shape = (num_images, width)
        if not path.exists():
            for beside in (self._seconds_path, checksums_path):
                beside.unlink(missing_ok=True)
            write_atomically(path, lambda temporary: np.save(temporary, np.full(shape, np.nan, np.float32)))
        self._rows = array_files.open_rows(path, shape, _WAY_OUT)
        if not checksums_path.exists() or checksums_path.stat().st_size != 4 * num_images:
            write_bytes(checksums_path, self._checksums_of_rows().tobytes())
        self._checksums = np.memmap(checksums_path, np.uint32, "r+", shape=(num_images,))
        known = self._seconds_path.exists()
        self.seconds = side_files.read_json(self._seconds_path, _SECONDS, _WAY_OUT)["seconds"] if known else 0.0
        self.start_clock()

    def start_clock(self) -> None:
        """Restarts the clock: the time since the last flush is not counted."""
        self._flushed = time.monotonic()

    def pending(self) -> np.ndarray:
        """Returns the rows that are still missing: (N,) bool, true for a missing row."""
        return np.isnan(self._rows).any(axis=1) | (self._checksums_of_rows() != self._checksums)

    def _checksums_of_rows(self) -> np.ndarray:
        return np.fromiter(map(zlib.crc32, self._rows), np.uint32, len(self._rows))

    def values(self) -> np.ndarray:
        """Returns all rows, (N, width) float32; missing ones are NaN."""
        return np.asarray(self._rows)

    def store(self, index: int, row: np.ndarray) -> None:
        """Stores the row of an image, (width,), and flushes if the last flush was more than ten seconds ago."""
        self._rows[index] = row
        self._checksums[index] = zlib.crc32(self._rows[index])
        if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
            self.flush()

    def absorb(self, other: "ResumableArray", seconds_before: float = 0.0) -> None:
        """Takes the rows over that another array of the same shape has and this one lacks, and flushes.

        Args:
            other: the array, to which its rows were stored while this one received others.
            seconds_before: the seconds that had been spent on this one before.
        """
        taken = np.flatnonzero(self.pending() & ~other.pending())
        self._rows[taken], self._checksums[taken] = other._rows[taken], other._checksums[taken]
        self.start_clock()
        self.seconds = max(self.seconds, seconds_before + other.seconds)
        self.flush()

    def flush(self) -> None:
        """Writes all rows to disk, and adds the time since the last flush to `seconds`."""
        now = time.monotonic()
        self.seconds, self._flushed = self.seconds + now - self._flushed, now
        self._rows.flush()
        self._checksums.flush()
        side_files.write_json(self._seconds_path, {"seconds": self.seconds})


def files_of(path: Path) -> tuple[Path, Path]:
    """Returns the files without which an array is not whole: that of the rows, and that of the checksums."""
    return path, path.with_suffix(".crc")


def remove(path: Path) -> None:
    """Removes an array, which nobody uses any more, with the files beside it."""
    for file in (path.with_suffix(".json"), *reversed(files_of(path))):
        file.unlink(missing_ok=True)
