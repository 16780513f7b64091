"""Reads and writes models: `.keras` files of either Keras generation, and the weights in checkpoints."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# The import of layers registers the classes defined there with Keras, so that files that name them load.
from vgg_keras.models import checkpoint_files, layers, probe  # noqa: F401
from vgg_keras.models.metadata import ModelMetadata, embed
from vgg_keras.utils import file_bounds, keras_compat, shell
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.files import write_atomically

# Member of a `.keras` file with the weights, in HDF5.
WEIGHTS_MEMBER = "model.weights.h5"
# Losses that apply a softmax to logits.
_SOFTMAX_LOSSES = ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy")


def restore_model(folder: Path, model: keras.Model) -> None:
    """Restores the model alone from the newest whole checkpoint in a folder.

    Raises:
        UserError: the folder holds no whole checkpoint, or it belongs to another model.
    """
    step, problems = checkpoint_files.newest_whole(folder)
    if step is None:
        raise UserError(f"{folder} holds no whole checkpoint" + "".join(f"; {text}" for text in problems))
    checkpoint_files.restore(folder, step, tf.train.Checkpoint(model=model))


@keras_compat.own_settings()
def float32_copy(model: keras.Model, weights: Sequence[np.ndarray] | None = None) -> keras.Model:
    """Returns a copy of a model that computes in float32, also if the model was trained in half precision.

    Args:
        model: the model.
        weights: weights of the copy, if they have been read already; None: the model's.
    """
    copy = keras.models.clone_model(
        model, clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    )
    copy.set_weights(model.get_weights() if weights is None else weights)
    return copy


def save_model(model: keras.Model, path: Path, metadata: ModelMetadata | None = None) -> None:
    """Writes a model as a `.keras` file in float32; the file is complete or is not written at all.

    Args:
        model: the model.
        path: the file.
        metadata: net, training scale and class names, which are kept in the file; None: the file tells none.
    """
    write_model(float32_copy(model), path, metadata)


def write_model(model: keras.Model, path: Path, metadata: ModelMetadata | None = None) -> None:
    """Writes a result of `float32_copy` as `save_model` does; in a thread, too."""

    def write(temporary: Path) -> None:
        model.save(temporary)
        if metadata:
            embed(temporary, metadata)

    write_atomically(path, write)


def require_model_file(path: Path) -> None:
    """Checks that a path is that of a `.keras` file, without reading it.

    Raises:
        UserError: the file is missing, or has another suffix.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; give a .keras file, such as best.keras in the folder of a finished run")
    if path.suffix != ".keras":
        convert = shell.command("vgg_keras.pretrained", source=path, output="models/vgg.keras")
        raise UserError(
            f"{path} is not a .keras file; give one, such as best.keras in the folder of a finished run, "
            f"or convert published weights: {convert}"
        )


def _require_bounded(path: Path) -> None:
    """Checks, before Keras reads a `.keras` file, that its weights are whole and take no more memory than they should.

    Raises:
        ValueError: what the file declares is out of proportion to its size, or lies outside it.
        KeyError, OSError, zipfile.BadZipFile: the file is damaged, or not a `.keras` file.
    """
    with file_bounds.open_zip(path) as archive, file_bounds.hdf5_in_zip(archive, WEIGHTS_MEMBER) as weights:
        file_bounds.require_bounded_hdf5(weights, path.stat().st_size)
        # Keras makes the layers as large as the configuration says before it compares them with the weights.
        described = file_bounds.parse_json(archive.read("config.json"))
        file_bounds.require_in_proportion(4 * sum(map(_kernel_size, _dicts(described))), path.stat().st_size)


def _dicts(content: object) -> Iterator[dict]:
    """Yields all dicts inside JSON content."""
    pending = [content]
    while pending:
        inside = pending.pop()
        if isinstance(inside, dict):
            yield inside
            pending.extend(inside.values())
        elif isinstance(inside, list):
            pending.extend(inside)


def _kernel_size(layer: dict) -> int:
    """Returns the number of weights in the kernel that a layer's description asks for; 0 for anything else."""
    config, built = layer.get("config"), layer.get("build_config")
    if not isinstance(config, dict):
        return 0
    outputs = config.get("filters", config.get("units", 0))
    shape = built.get("input_shape") if isinstance(built, dict) else None
    channels = shape[-1] if isinstance(shape, list) and shape else 1
    sides = config.get("kernel_size", 1)
    factors = [outputs, channels, *(sides if isinstance(sides, list) else [sides])]
    return math.prod(factors) if all(type(factor) is int and factor > 0 for factor in factors) else 0


def takes_logits(path: Path) -> bool:
    """Returns whether the loss that a `.keras` file was compiled with takes logits, so that the model ends in them."""
    with file_bounds.open_zip(path) as archive:
        config = file_bounds.parse_json(archive.read("config.json"))
    compiled = config.get("compile_config") if isinstance(config, dict) else None
    loss = compiled.get("loss") if isinstance(compiled, dict) else None
    if not isinstance(loss, dict) or loss.get("class_name") not in _SOFTMAX_LOSSES:
        return False
    return isinstance(loss.get("config"), dict) and loss["config"].get("from_logits") is True


@keras_compat.own_settings()
def load_model(path: Path) -> keras.Model:
    """Loads a model from a `.keras` file of either Keras generation, uncompiled, to compute in float32.

    Raises:
        UserError: the file is missing, does not hold a Keras model, or holds one without weights.
    """
    require_model_file(path)
    try:
        _require_bounded(path)
        keras_compat.register_addons_of(path)
        if keras_compat.is_foreign(path):
            return keras_compat.load_foreign(path)
        model = keras.saving.load_model(path, compile=False)
    except UserError:
        raise
    except Exception as error:  # zip, JSON, HDF5 and Keras each raise errors of their own
        raise UserError(f"{path} is not a Keras model that can be loaded: {reason(error)}") from error
    if not model.built:
        raise UserError(f"{path} holds a model that was saved before it was built: it has no weights")
    for layer in probe.leaves(model):
        keras_compat.compute_in_float32(layer)
    return model
