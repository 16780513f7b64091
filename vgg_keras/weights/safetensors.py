"""Reads files of weights in the format safetensors: a JSON header that describes the tensors, then their bytes."""

import math
import mmap
from pathlib import Path

import numpy as np

from vgg_keras.utils import file_bounds
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.weights.torch_pickle import bfloat16_to_float32

# Kinds of numbers, and as what they are read.
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
# The length of the header comes first, as a number of 8 bytes.
_LENGTH = 8


def is_safetensors(path: Path) -> bool:
    """Returns whether a file begins as one of this format does."""
    with path.open("rb") as file:
        start = file.read(_LENGTH + 1)
    return start[_LENGTH:] == b"{" and int.from_bytes(start[:_LENGTH], "little") <= path.stat().st_size - _LENGTH


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a file.

    Args:
        path: the file.

    Returns:
        {name: array}, read-only, in the order of the file; bfloat16 becomes float32.

    Raises:
        UserError: the file is damaged, or has numbers of an unknown kind.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        end = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        if not _LENGTH < end <= len(content):
            raise ValueError("its header is cut")
        header = file_bounds.parse_json(bytes(content[_LENGTH:end]))
        if not isinstance(header, dict):
            raise ValueError("its header describes no tensors")
        header.pop("__metadata__", None)
        numbers = content[end:]
        tensors = {name: _tensor(name, described, numbers) for name, described in header.items()}
        if sum(array.nbytes for array in tensors.values()) > len(numbers):
            raise ValueError("its tensors overlap")
        # In this format, numbers of two bytes without a sign are bfloat16 alone.
        return {name: bfloat16_to_float32(one) if one.dtype == np.uint16 else one for name, one in tensors.items()}
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path} cannot be read as safetensors: {reason(error)}") from error


def _tensor(name: str, described: dict, numbers: memoryview) -> np.ndarray:
    """Returns the view of a tensor; NumPy refuses one whose shape does not fit its bytes.

    Raises:
        ValueError, KeyError, TypeError: the description is damaged.
    """
    shape, (start, stop), kind = described["shape"], described["data_offsets"], described["dtype"]
    if kind not in _DTYPES:
        raise ValueError(f"{name} has numbers of the kind {kind}")
    dtype = np.dtype(_DTYPES[kind])
    if not all(type(value) is int and value >= 0 for value in (start, stop, *shape)):
        raise ValueError(f"{name} has the shape {shape} at the bytes {start} to {stop}")
    if stop > len(numbers) or stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name}, of shape {shape}, does not fill the bytes {start} to {stop} of {len(numbers)}")
    return np.frombuffer(numbers[start:stop], dtype).reshape(shape)
