"""Reads PyTorch's files of weights without PyTorch, and without running code from them.

A pickle is a program that can call any function. This reader allows only the few calls that a state dict consists of.
"""

import collections
import pickle
import struct
import zipfile
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from vgg_keras.utils.errors import UserError

_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# First number in files of PyTorch before 1.6.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
    """Block of numbers in the file; tensors refer to it before its bytes are read."""

    def __init__(self, key: str, dtype: type, count: int):
        self.key, self.dtype, self.count = key, np.dtype(dtype), count
        self.values: np.ndarray | None = None


class _Tensor:
    """View of a storage; offset, size and stride are counted in elements."""

    def __init__(self, storage: _Storage, offset: int, size: tuple, stride: tuple, *_):
        self._storage, self._offset, self._size, self._stride = storage, offset, tuple(size), tuple(stride)

    def array(self) -> np.ndarray:
        values = self._storage.values
        extent = self._offset + 1 + sum((side - 1) * step for side, step in zip(self._size, self._stride, strict=True))
        if values is None or (np.prod(self._size) and not 0 < extent <= len(values)):
            raise ValueError("a tensor reaches beyond its numbers")
        strides = [step * values.itemsize for step in self._stride]
        return np.lib.stride_tricks.as_strided(values[self._offset :], self._size, strides).copy()


_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], storages: dict[str, _Storage]):
        super().__init__(file, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no state dict needs") from None

    def persistent_load(self, identity: tuple) -> _Storage:
        kind, dtype, key, _, count = identity[:5]
        if kind != "storage":
            raise pickle.UnpicklingError(f"it refers to {kind!r}")
        return self._storages.setdefault(key, _Storage(key, dtype, count))


def _read_zip(file: BinaryIO, storages: dict[str, _Storage]) -> object:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        with archive.open(pickled) as stream:
            content = _Unpickler(stream, storages).load()
        for storage in storages.values():
            storage.values = np.frombuffer(archive.read(f"{folder}data/{storage.key}"), storage.dtype, storage.count)
    return content


def _read_legacy(file: BinaryIO, storages: dict[str, _Storage]) -> object:
    # The file holds a magic number, the protocol version, the writer's system, the object and the storages' keys as one
    # pickle each, and then the length and the numbers of each storage.
    if _Unpickler(file, {}).load() != _LEGACY_MAGIC:
        raise ValueError("it does not begin as a file of PyTorch does")
    for _ in range(2):
        _Unpickler(file, {}).load()
    content = _Unpickler(file, storages).load()
    for key in _Unpickler(file, {}).load():
        storage = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        storage.values = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype, count)
    return content


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote, in the zip format or the one before PyTorch 1.6.

    Args:
        path: a `.pth`, `.pt` or `.bin` file; it may be a training checkpoint with the key "state_dict".

    Returns:
        {name: array}, in the order of the file and the dtypes that the tensors have.

    Raises:
        UserError: the file is missing, damaged or not a state dict, or its pickle calls anything that a state dict does
            not need.
    """
    storages: dict[str, _Storage] = {}
    try:
        with path.open("rb") as file:
            read = _read_zip if zipfile.is_zipfile(file) else _read_legacy
            file.seek(0)
            content = read(file, storages)
        while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):  # a training checkpoint
            content = content["state_dict"]
        if not isinstance(content, dict) or not all(isinstance(value, _Tensor) for value in content.values()):
            raise ValueError("it holds something else than a state dict; save model.state_dict()")
        return {name: tensor.array() for name, tensor in content.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except Exception as error:  # a damaged zip or pickle raises errors of many kinds
        raise UserError(f"{path} cannot be read as weights of PyTorch: {error}") from error
