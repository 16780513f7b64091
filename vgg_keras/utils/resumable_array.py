"""Rows of numbers that are kept on disk as they are computed."""

import json
import time
from pathlib import Path

import numpy as np

from vgg_keras.utils.cli import UserError
from vgg_keras.utils.files import write_atomically

# How often what was computed is brought to the disk. A killed process loses nothing of it, a power cut this much.
_SECONDS_BETWEEN_FLUSHES = 10.0


class ResumableArray:
    """A row of numbers for each image, in a file that a killed process leaves usable.

    A row is written in one piece, and is not a number until then.

    Args:
        path: the `.npy` file; made if it is not there. A `.json` beside it holds the seconds spent.
        num_images: rows.
        width: columns.
    """

    def __init__(self, path: Path, num_images: int, width: int):
        self._seconds_path = path.with_suffix(".json")
        shape = (num_images, width)
        if not path.exists():
            write_atomically(path, lambda temporary: np.save(temporary, np.full(shape, np.nan, np.float32)))
            self._seconds_path.unlink(missing_ok=True)
        try:
            self._rows = np.lib.format.open_memmap(path, mode="r+")
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); remove it, and it is computed again") from error
        if self._rows.shape != shape or self._rows.dtype != np.float32:
            raise UserError(f"{path} is of other images: {self._rows.shape}, not {shape}; remove it")
        known = self._seconds_path.exists()
        self.seconds = json.loads(self._seconds_path.read_text(encoding="utf-8"))["seconds"] if known else 0.0
        self.start_clock()

    def start_clock(self) -> None:
        """Lets the seconds count from now."""
        self._flushed = time.monotonic()

    def pending(self) -> np.ndarray:
        """Returns (N,) bool, true where the row is still to be computed."""
        return np.isnan(self._rows).any(axis=1)

    def values(self) -> np.ndarray:
        """Returns (N, width) float32, as they lie in the file."""
        return np.asarray(self._rows)

    def store(self, index: int, row: np.ndarray) -> None:
        """Stores an image's row, and from time to time brings all to the disk."""
        self._rows[index] = row
        if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
            self.flush()

    def flush(self) -> None:
        """Brings everything to the disk, with the seconds since the last time added to the account."""
        now = time.monotonic()
        self.seconds, self._flushed = self.seconds + now - self._flushed, now
        self._rows.flush()
        text = json.dumps({"seconds": self.seconds})
        write_atomically(self._seconds_path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
