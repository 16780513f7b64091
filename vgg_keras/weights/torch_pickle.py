"""Reads PyTorch's files of weights without PyTorch, and without running the pickle inside them.

The pickle says which tensors there are; the numbers lie beside it, in blocks that are called storages. Each tensor is a
view of a storage, which NumPy checks: a view cannot reach outside the bytes of its storage.
"""

import functools
import math
import mmap
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.utils import file_bounds
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.weights import inert_pickle
from vgg_keras.weights.inert_pickle import Call, Global

_DTYPES: dict[str, type] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": np.uint16,  # the upper half of a float32
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# First number in files of PyTorch before 1.6.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# Keys under which training scripts keep the state dict in a checkpoint; the first that is there is taken.
_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "weights")
_SAVE_AGAIN = "save it again in PyTorch with torch.save(model.state_dict(), 'vgg.pth')"
# Reads the bytes of a storage, given its key.
ReadBytes = Callable[[str], Any]


class _Storage:
    """Block of numbers in the file, which is read when a tensor first needs it."""

    def __init__(self, kind: str, key: str, count: int):
        self.kind, self.key, self.count = kind, key, count
        self.read_bytes: ReadBytes | None = None

    @functools.cached_property
    def numbers(self) -> np.ndarray:
        """The numbers: (count,); those of PyTorch's bfloat16 as float32.

        Raises:
            ValueError: the file holds fewer, or their kind is unknown.
        """
        if self.kind not in _DTYPES or self.read_bytes is None or self.count < 0:
            raise ValueError(f"it has {self.count} numbers of the kind {self.kind}")
        numbers = np.frombuffer(self.read_bytes(self.key), np.dtype(_DTYPES[self.kind]).newbyteorder("<"), self.count)
        return bfloat16_to_float32(numbers) if self.kind.startswith("BFloat16") else numbers


class _Tensor:
    """View of a storage; offset, size and stride are counted in elements."""

    def __init__(self, storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: object):
        whole = [offset, *size, *stride]
        if not isinstance(storage, _Storage) or not all(type(value) is int and value >= 0 for value in whole):
            raise ValueError(f"a tensor has the size {size}, the strides {stride} and the offset {offset}")
        if math.prod(size) > max(storage.count, 0):
            raise ValueError(f"a tensor of size {tuple(size)} reaches beyond its {storage.count} numbers")
        self._storage, self._offset, self._size, self._stride = storage, offset, tuple(size), stride

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._size)

    def array(self) -> np.ndarray:
        """Returns the view, read-only.

        Raises:
            ValueError: it reaches beyond its storage.
        """
        numbers = self._storage.numbers
        step = numbers.itemsize
        if not self.size:
            return np.zeros(self._size, numbers.dtype)
        try:
            strides = [step * one for one in self._stride]
            return np.ndarray(self._size, numbers.dtype, numbers, step * self._offset, strides)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"a tensor reaches beyond its numbers ({reason(error)})") from error


def bfloat16_to_float32(numbers: np.ndarray) -> np.ndarray:
    """Converts numbers of bfloat16, read as uint16, to float32."""
    return (numbers.astype(np.uint32) << 16).view(np.float32)


def _make(name: str, arguments: Sequence) -> object:
    """Returns plain data for the few calls that a state dict consists of, and None for all others."""
    if name == "collections.OrderedDict":
        pairs = arguments[0] if arguments else ()
        return {key: value for key, value in pairs if isinstance(key, str)}
    if name == "torch._utils._rebuild_tensor_v2":
        return _Tensor(*arguments)
    if name in ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"):
        return arguments[0]
    return None


class _Storages(dict[str, _Storage]):
    """The storages that a pickle refers to, by key."""

    def refer(self, identity: object) -> _Storage:
        """Returns the storage with an identity, such as ("storage", torch.FloatStorage, "0", "cpu", 64)."""
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise ValueError(f"it refers to {identity!r}")
        kind, key, _, count = identity[1:5]
        if not isinstance(kind, Global) or not isinstance(key, str) or type(count) is not int:
            raise ValueError(f"it refers to {identity!r}")
        return self.setdefault(key, _Storage(kind.name.removeprefix("torch."), key, count))


def _read_zip(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        compressed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
        if compressed or sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError(f"{compressed[0]} is compressed" if compressed else "its parts overlap")
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        storages = _Storages()
        with archive.open(pickled) as stream:
            content = inert_pickle.load(stream, _make, storages.refer)

    def read_bytes(key: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{folder}data/{key}")

    for storage in storages.values():
        storage.read_bytes = read_bytes
    return content


def _read_legacy(path: Path) -> object:
    # The file holds a magic number, the protocol version, the writer's system, the object and the storages' keys as one
    # pickle each, and then the length and the numbers of each storage.
    with path.open("rb") as file:
        stream: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    storages = _Storages()

    def load() -> object:
        return inert_pickle.load(stream, _make, storages.refer)

    if load() != _LEGACY_MAGIC:
        raise ValueError("it does not begin as a file of PyTorch does")
    load()
    load()
    content = load()
    places: dict[str, tuple[int, int]] = {}
    keys = load()
    for key in keys if isinstance(keys, list) else ():
        (count,) = struct.unpack("<q", stream.read(8))
        storage = storages[key]
        num_bytes = count * np.dtype(_DTYPES[storage.kind]).itemsize
        if count != storage.count or not 0 <= num_bytes <= len(stream) - stream.tell():
            raise ValueError(f"it is cut: storage {key} has {count} numbers")
        places[key] = (stream.tell(), num_bytes)
        stream.seek(num_bytes, 1)

    def read_bytes(key: str) -> memoryview:
        start, num_bytes = places[key]
        return memoryview(stream)[start : start + num_bytes]

    for storage in storages.values():
        storage.read_bytes = read_bytes
    return content


def _nested_dicts(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Yields a dict and those inside it, up to the depth at which checkpoints keep state dicts."""
    if isinstance(content, dict):
        yield path, content
        for key, value in content.items() if len(path) < 3 else ():
            yield from _nested_dicts(value, (*path, str(key)))


def _state_dict(content: object) -> Mapping[str, Any]:
    """Finds the state dict: the content itself, or what a training script keeps under one of its keys.

    Raises:
        ValueError: there is none, or there are several and none has one of the usual keys.
    """
    if isinstance(content, Call):
        raise ValueError(f"it holds an object of {content.name}, something else than a state dict; {_SAVE_AGAIN}")
    found = {
        path: inside
        for path, inside in _nested_dicts(content)
        if any(isinstance(key, str) and key.endswith(".weight") for key in inside)
    }
    if not found:
        raise ValueError(f"it holds something else than a state dict; {_SAVE_AGAIN}")
    usual = [path for key in _CHECKPOINT_KEYS for path in found if path and path[-1] == key]
    if () not in found and not usual and len(found) > 1:
        names = ", ".join(".".join(path) for path in found)
        raise ValueError(f"it holds several state dicts, {names}; save one of them alone")
    return found[() if () in found else (usual or list(found))[0]]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Reads a state dict that `torch.save` wrote, in the zip format or the one before PyTorch 1.6.

    Args:
        path: the file; it may be a training checkpoint that keeps the state dict under "state_dict", "model" or the
            like, beside other things.

    Returns:
        {name: array}, read-only, in the order of the file and the dtypes that the tensors have.

    Raises:
        UserError: the file is missing, damaged or not a state dict, or the state dict needs a call that no state dict
            needs.
    """
    try:
        state = _state_dict((_read_zip if zipfile.is_zipfile(path) else _read_legacy)(path))
        for name, tensor in state.items():
            if isinstance(tensor, Call):
                raise ValueError(f"it asks for {tensor.name}, which no state dict needs")
            if not isinstance(name, str) or not isinstance(tensor, _Tensor):
                raise ValueError(f"{name} is no tensor, so it is something else than a state dict; {_SAVE_AGAIN}")
        size = path.stat().st_size
        file_bounds.require_in_proportion(8 * sum(tensor.size for tensor in state.values()), size)
        return {name: tensor.array() for name, tensor in state.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except Exception as error:  # a damaged zip or pickle raises errors of many kinds
        raise UserError(f"{path} cannot be read as weights of PyTorch: {reason(error)}") from error
