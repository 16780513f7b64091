"""Reads Keras's HDF5 files of weights."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vgg_keras.utils import file_bounds
from vgg_keras.utils.errors import UserError, reason

# Layers that change the pixels, as model configurations (in small letters) and groups of weights name them. Without
# them, a model is taken to expect the preprocessing of keras.applications.
_PREPROCESSING = {"rescaling", "normalization", "lambda", "tf_op_lambda", "tfoplambda", "slicingoplambda", "getitem"}
_REHEARSAL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from vgg_keras.weights import keras_hdf5
keras_hdf5.rehearse(Path(sys.argv[2]))
"""
# Bounds of the rehearsal: seconds of processor time, and how many bytes a second of it reads at least; bytes of memory.
_SECONDS, _BYTES_PER_SECOND, _ADDRESS_SPACE = 10, 20_000_000, 8 * 2**30
_AS_KERAS_FILE = "load it in Keras, save it as a .keras file, and give that: what it computes is then measured"


def read_layers(path: Path, *, preprocessing_known: bool = False) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of each layer with weights, those of models inside the model included.

    Args:
        path: HDF5 file of `model.save_weights` or `model.save`, of Keras 3 or an earlier version.
        preprocessing_known: whether it is known what the model expects; otherwise a model that changes the pixels
            itself, which such a file does not tell enough of, is refused.

    Returns:
        {layer name: float32 arrays}, in the order of the file.

    Raises:
        UserError: the file is damaged, does not name its layers, or is of a model that changes the pixels itself.
    """
    _require_harmless(path)
    with _opened(path) as file:
        if not preprocessing_known:
            _require_no_preprocessing(file)
        return _layers(file)


def _layers(file: h5py.File) -> dict[str, list[np.ndarray]]:
    root = file.get("model_weights", file)
    return dict(_legacy_layers(root) if "layer_names" in root.attrs else _named_layers(root))


def _require_harmless(path: Path) -> None:
    """Rehearses the reading of a file in a process of its own: damaged files may crash the HDF5 library, or hang it.

    Raises:
        UserError: the process did not come to an end by itself.
    """
    package_folder = str(Path(__file__).parents[2])
    process = subprocess.run([sys.executable, "-c", _REHEARSAL, package_folder, str(path)], capture_output=True)
    if process.returncode != 0:
        raise UserError(f"{path} cannot be read as weights of Keras: it is damaged, and the HDF5 library fails on it")


def rehearse(path: Path) -> None:
    """Reads a file as `read_layers` does, with bounds on time and memory, and ends the process; its errors are ignored.

    Args:
        path: the file.
    """
    size = path.stat().st_size
    seconds = _SECONDS + size // _BYTES_PER_SECOND
    for kind, bound in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, _ADDRESS_SPACE + 4 * size)):
        allowed = resource.getrlimit(kind)[1]
        bound = bound if allowed == resource.RLIM_INFINITY else min(bound, allowed)
        resource.setrlimit(kind, (bound, bound))
    with contextlib.suppress(UserError), _opened(path) as file:
        _class_and_group_names(file)
        _layers(file)
    # Without the closing of what is damaged.
    os._exit(0)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Opens a file whose arrays are in proportion to its size.

    Raises:
        UserError: the file is damaged; errors of the context are raised as such too.
    """
    try:
        with h5py.File(path) as file:
            file_bounds.require_bounded_hdf5(file, path.stat().st_size)
            yield file
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise UserError(f"{path} cannot be read as weights of Keras: {reason(error)}") from error


def _require_no_preprocessing(file: h5py.File) -> None:
    """Refuses the weights of a model that changes the pixels itself, in a way that such a file does not tell.

    Raises:
        ValueError: a layer of the model does so.
    """
    found = sorted(_class_and_group_names(file) & _PREPROCESSING)
    if found:
        raise ValueError(f"its model changes the pixels itself ({', '.join(found)}); {_AS_KERAS_FILE}")


def _class_and_group_names(file: h5py.File) -> set[str]:
    config = file.attrs.get("model_config")
    classes = {name.lower() for name in _class_names(file_bounds.parse_json(_text(config)) if config else None)}
    return classes | {name.rstrip("0123456789").rstrip("_") for name in _group_names(file)}


def _class_names(config: object) -> Iterator[str]:
    """Yields the names of the classes of layers in a model's configuration, those of models inside it included."""
    inside = config.get("config") if isinstance(config, Mapping) else None
    for layer in inside.get("layers", ()) if isinstance(inside, Mapping) else ():
        if isinstance(layer, Mapping):
            yield str(layer.get("class_name"))
            yield from _class_names(layer)


def _group_names(file: h5py.File) -> list[str]:
    """Returns the names of the groups of layers in a `.weights.h5`, which are called after the layers' classes."""
    paths: list[str] = []
    file.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Group) else None)
    return [path.rpartition("/")[2] for path in paths if path.rpartition("/")[0].endswith("layers")]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _numbers(dataset: h5py.Dataset) -> np.ndarray:
    """Reads an array as float32.

    Raises:
        ValueError: it is no dataset of floating-point numbers.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f" or dataset.shape is None:
        raise ValueError(f"{dataset.name} holds no floating-point numbers")
    return np.asarray(dataset[()], np.float32)


def _legacy_layers(root: h5py.Group) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields the layers of the older format, in which a layer's group lists its weights.

    A model inside the model counts as one layer there; the names of its weights begin with those of its own layers.
    """
    seen: set[str] = set()
    for outer in map(_text, root.attrs["layer_names"]):
        weights: dict[str, list[np.ndarray]] = {}
        for weight in map(_text, root[outer].attrs["weight_names"]):
            inner = weight.rpartition("/")[0].rpartition("/")[2]
            weights.setdefault(inner, []).append(_numbers(root[outer][weight]))
        for inner, arrays in weights.items():
            name = inner if len(weights) > 1 and inner else outer
            if name in seen:
                raise ValueError(f"it has two layers with the name {name}")
            seen.add(name)
            yield name, arrays


def _named_layers(root: h5py.Group) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields the layers of a `.weights.h5`: a layer's group `vars` has its name as attribute, and datasets 0, 1, ..."""
    groups: list[tuple[str, h5py.Group]] = []
    root.visititems(lambda path, item: groups.append((path, item)) if isinstance(item, h5py.Group) else None)
    seen: set[str] = set()
    for path, group in groups:
        if path.endswith("/vars") and len(group) and not path.startswith("optimizer"):
            if "name" not in group.attrs:
                raise ValueError("it does not name its layers; write it again with a newer Keras")
            name = _text(group.attrs["name"])
            if name in seen:
                raise ValueError(f"it has two layers with the name {name}")
            seen.add(name)
            yield name, [_numbers(group[key]) for key in sorted(group, key=int)]
