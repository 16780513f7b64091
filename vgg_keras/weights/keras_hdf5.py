"""Reads Keras's HDF5 files of weights."""

from pathlib import Path

import h5py
import numpy as np

from vgg_keras.utils.errors import UserError


def read_layers(path: Path) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of each layer with weights.

    Args:
        path: HDF5 file of `model.save_weights` or `model.save`, of Keras 3 or an earlier version.

    Returns:
        {layer name: float32 arrays}, in the order of the file.

    Raises:
        UserError: the file is damaged, or does not name its layers.
    """
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            return _legacy_layers(root) if "layer_names" in root.attrs else _named_layers(root)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as weights of Keras: {error}") from error


def _numbers(dataset: h5py.Dataset) -> np.ndarray:
    return np.asarray(dataset[()], np.float32)


def _legacy_layers(root: h5py.Group) -> dict[str, list[np.ndarray]]:
    def text(name: str | bytes) -> str:
        return name.decode() if isinstance(name, bytes) else name

    layers = {}
    for name in map(text, root.attrs["layer_names"]):
        arrays = [_numbers(root[name][text(weight)]) for weight in root[name].attrs["weight_names"]]
        if arrays:
            layers[name] = arrays
    return layers


def _named_layers(root: h5py.Group) -> dict[str, list[np.ndarray]]:
    """Reads Keras 3's `.weights.h5`: a layer's group `vars` has its name as attribute and holds datasets 0, 1, ..."""
    layers = {}

    def visit(path: str, group: h5py.Group) -> None:
        if path.endswith("/vars") and len(group) and not path.startswith("optimizer"):
            if "name" not in group.attrs:
                raise ValueError("it does not name its layers; write it again with a newer Keras")
            layers[group.attrs["name"]] = [_numbers(group[key]) for key in sorted(group, key=int)]

    root.visititems(lambda path, item: visit(path, item) if isinstance(item, h5py.Group) else None)
    return layers
