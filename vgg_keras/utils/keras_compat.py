"""What differs between Keras 2.15 (with TensorFlow 2.15, the last for tensorflow-addons) and Keras 3, and why."""

import json
import platform
import re
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras import version
from vgg_keras.utils.optional_imports import import_extra


def generation(version: str) -> int:
    """Returns 2 or 3; what comes after Keras 3 counts as Keras 3."""
    return min(int(version.partition(".")[0]), 3)


KERAS_3 = generation(keras.__version__) == 3
# What the registered names of tensorflow-addons begin with.
_ADDONS = "Addons>"


def tf_variable(variable) -> tf.Variable:
    """Returns TensorFlow's variable: Keras 3 wraps it in one of its own, Keras 2 has no other."""
    return variable.value if KERAS_3 else variable


def scale_loss(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """Returns the loss as half precision needs it: in Keras 3 every optimizer scales, in Keras 2 a wrapper alone."""
    if KERAS_3:
        return optimizer.scale_loss(loss)
    return optimizer.get_scaled_loss(loss) if hasattr(optimizer, "get_scaled_loss") else loss


def apply_scaled(optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
    """Does a step with gradients of a scaled loss: Keras 3 divides by the scale itself, Keras 2 wants that done."""
    if not KERAS_3 and hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)
    optimizer.apply_gradients(list(zip(gradients, variables, strict=True)))


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Makes an optimizer's slots; those of tensorflow-addons are of the kind before Keras 2.11, without `build`."""
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:
        optimizer._create_all_weights(variables)


def register_addons(name: str) -> None:
    """Makes tensorflow-addons' classes known to Keras where a name asks for one, such as "Addons>SGDW".

    Raises:
        UserError: tensorflow-addons is not installed; it needs TensorFlow 2.15.
    """
    if not name.startswith(_ADDONS):
        return
    (tensorflow_addons,) = import_extra(
        ["tensorflow_addons"],
        "addons",
        f"{name} is of tensorflow-addons and",
        note="on Python 3.10 or 3.11, in an environment of its own: that brings TensorFlow 2.15, which it needs",
    )
    tensorflow_addons.register_all()


def register_addons_of(path: Path) -> None:
    """Makes tensorflow-addons' classes known if a `.keras` file holds any.

    Raises:
        UserError: tensorflow-addons is not installed.
    """
    with zipfile.ZipFile(path) as file:
        named = re.search(rf'"({_ADDONS}\w+)"', file.read("config.json").decode())
    if named:
        register_addons(named[1])


def is_foreign(path: Path) -> bool:
    """Returns whether the other generation wrote a `.keras` file."""
    with zipfile.ZipFile(path) as file:
        return generation(json.loads(file.read("metadata.json"))["keras_version"]) != generation(keras.__version__)


def load_foreign(path: Path) -> keras.Model:
    """Loads a `.keras` file that the other generation wrote.

    The weights lie there under the same names; only the description differs, in ways that a chain of layers can do
    without: where classes are imported from, how dtypes and inputs are written, how layers name those before them.

    Raises:
        ValueError: the model is no chain of layers, or has a layer that this generation cannot make.
    """
    with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as folder:
        layers = json.loads(file.read("config.json"))["config"]
        weights = Path(folder) / "model.weights.h5"
        weights.write_bytes(file.read(weights.name))
        first, *others = layers["layers"]
        shape = first["config"].get("batch_shape") or first["config"]["batch_input_shape"]
        inputs = outputs = keras.Input(shape[1:], name=first["config"]["name"])
        before = first["config"]["name"]
        for layer in others:
            if f'"{before}"' not in json.dumps(layer["inbound_nodes"]):
                raise ValueError(f"it is no chain of layers: {layer['name']} does not follow {before}")
            outputs, before = _layer_of(layer)(outputs), layer["name"]
        model = keras.Model(inputs, outputs, name=layers["name"])
        model.load_weights(weights)
    return model


def _layer_of(described: dict) -> keras.layers.Layer:
    known = keras.saving.get_registered_object(described["registered_name"]) if described["registered_name"] else None
    layer_class = known or getattr(keras.layers, described["class_name"])
    # What is None is left out: newer versions write arguments that older ones do not have.
    config = {name: value for name, value in described["config"].items() if value is not None}
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = config["dtype"]["config"]["name"]
    if isinstance(config.get("axis"), list):  # as Keras 2 writes that of batch normalisation
        (config["axis"],) = config["axis"]
    return layer_class.from_config(config)


def package_versions() -> dict[str, str]:
    """Returns the versions that a result depends on."""
    return {
        "vgg_keras": version.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }
