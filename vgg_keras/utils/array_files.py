"""Reads files of arrays; a damaged one is refused with one line that names it."""

from pathlib import Path

import numpy as np

from vgg_keras.utils import file_bounds
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.side_files import damaged


def read_arrays(path: Path, way_out: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.npz` file by name; arrays of Python objects are refused.

    Raises:
        UserError: the file is missing, unreadable or damaged.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise damaged(path, f"it is {'a folder' if path.is_dir() else 'no regular file'}", way_out)
    try:
        file_bounds.open_zip(path).close()
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {way_out}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; {way_out}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of errors
        raise damaged(path, f"it is no file of arrays ({error})", way_out) from error


def open_rows(path: Path, shape: tuple[int, int], way_out: str) -> np.memmap:
    """Opens a `.npy` file of float32 for reading and writing.

    Args:
        path: the file.
        shape: shape that the array should have.
        way_out: what the user can do if it cannot be opened; the end of the message.

    Raises:
        UserError: the file is missing, unreadable, damaged, or of another shape or dtype.
    """
    try:
        rows = np.lib.format.open_memmap(path, mode="r+")
    except OSError as error:
        raise UserError(f"{path} cannot be opened: {error.strerror or error}; {way_out}") from error
    except Exception as error:  # NumPy parses the header as Python
        raise damaged(path, f"it is no array ({error})", way_out) from error
    if rows.shape != shape or rows.dtype != np.float32:
        raise UserError(f"{path} is of other images: {rows.shape} {rows.dtype}, not {shape} float32; {way_out}")
    return rows
