"""Writes a small valid file of weights of every kind that is read: net A, a 64th as wide, for images of 32x32."""

import json
import struct
from pathlib import Path

import h5py
import keras
import numpy as np

from tests.helpers.torch_net import random, torch_save
from vgg_keras.models.architectures import NETS

WIDTHS = (1, 2, 4, 8, 8)
CLASSES, FC_WIDTH = 3, 64


def tiny_state(seed=0):
    """Returns a state dict of net A of a 64th of its width, in torchvision's names and layout."""
    rng, state, index, channels = np.random.default_rng(seed), {}, 0, 3
    for sizes, width in zip(NETS["A"], WIDTHS, strict=True):
        for _ in sizes:
            state[f"features.{index}.weight"] = random(rng, width, channels, 3, 3)
            state[f"features.{index}.bias"] = rng.uniform(0, 0.2, width).astype(np.float32)
            index, channels = index + 2, width
        index += 1
    for place, (outputs, inputs) in zip(
        (0, 3, 6), ((FC_WIDTH, WIDTHS[-1]), (FC_WIDTH, FC_WIDTH), (CLASSES, FC_WIDTH)), strict=True
    ):
        state[f"classifier.{place}.weight"] = random(rng, outputs, inputs)
        state[f"classifier.{place}.bias"] = rng.normal(size=outputs).astype(np.float32)
    return state


def save_safetensors(state, path: Path) -> None:
    """Writes arrays of float32 in the format safetensors."""
    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, array in state.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in state.values()))


def keras_layers(state):
    """Returns {layer name of keras.applications: kernel and bias in Keras's layout} of a state dict."""
    names = [f"block{block}_conv{place + 1}" for block, sizes in enumerate(NETS["A"], 1) for place in range(len(sizes))]
    modules = [key.removesuffix(".weight") for key in state if key.endswith(".weight")]
    kernels = (state[f"{module}.weight"] for module in modules)
    arrays = (kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T for kernel in kernels)
    biases = (state[f"{module}.bias"] for module in modules)
    return dict(zip([*names, "fc1", "fc2", "predictions"], zip(arrays, biases, strict=True), strict=True))


def save_legacy_hdf5(state, path: Path, inside: str = "") -> None:
    """Writes the older format of Keras: each layer lists its weights; `inside` names a model that holds them all."""
    with h5py.File(path, "w") as file:
        layers = keras_layers(state)
        groups = {inside: list(layers)} if inside else {name: [name] for name in layers}
        file.attrs["layer_names"] = [name.encode() for name in groups]
        for outer, names in groups.items():
            group = file.create_group(outer)
            group.attrs["weight_names"] = [f"{name}/{kind}:0".encode() for name in names for kind in ("kernel", "bias")]
            for name in names:
                for kind, array in zip(("kernel", "bias"), layers[name], strict=True):
                    group[f"{name}/{kind}:0"] = array


def save_named_hdf5(state, path: Path) -> None:
    """Writes the format of Keras 3: a group for each layer, which tells its name."""
    with h5py.File(path, "w") as file:
        for index, (name, arrays) in enumerate(keras_layers(state).items()):
            group = file.create_group(f"layers/conv2d_{index}/vars")
            group.attrs["name"] = name
            for place, array in enumerate(arrays):
                group[str(place)] = array


def keras_model(state, before=(), names=True) -> keras.Model:
    """Builds the net in plain Keras.

    Args:
        state: its weights.
        before: layers in front of the first convolution.
        names: whether the layers have the names of keras.applications, not Keras's own.
    """
    layers, arrays = keras.layers, keras_layers(state)
    inputs = keras.Input((32, 32, 3))
    outputs = inputs
    for layer in before:
        outputs = layer(outputs)
    for block, sizes in enumerate(NETS["A"], start=1):
        for place in range(len(sizes)):
            name = f"block{block}_conv{place + 1}" if names else None
            outputs = layers.Conv2D(WIDTHS[block - 1], 3, padding="same", activation="relu", name=name)(outputs)
        outputs = layers.MaxPooling2D()(outputs)
    outputs = layers.Flatten()(outputs)
    for name, units, activation in (
        ("fc1", FC_WIDTH, "relu"),
        ("fc2", FC_WIDTH, "relu"),
        ("predictions", CLASSES, "softmax"),
    ):
        outputs = layers.Dense(units, activation=activation, name=name if names else None)(outputs)
    model = keras.Model(inputs, outputs)
    with_weights = [layer for layer in model.layers if layer.weights and layer not in before]
    for layer, values in zip(with_weights, arrays.values(), strict=True):
        layer.set_weights(values)
    return model


# File name -> the function that writes a state dict into it.
WRITERS = {
    "zip.pth": torch_save,
    "legacy.pth": lambda state, path: torch_save(state, path, legacy=True),
    "tensors.safetensors": save_safetensors,
    "older.h5": save_legacy_hdf5,
    "named.weights.h5": save_named_hdf5,
    "model.keras": lambda state, path: keras_model(state).save(path),
}
