"""Hides the differences between Keras 3 and Keras 2.15.

Keras 2.15 comes with TensorFlow 2.15, the last version that tensorflow-addons supports. The two
versions of Keras are called generations.
"""

import contextlib
import json
import platform
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras import version
from vgg_keras.utils.optional_imports import import_extra


def generation(version: str) -> int:
    """Returns the generation, 2 or 3, of a Keras version such as "2.15.0"; later ones than 3 count as 3."""
    return min(int(version.partition(".")[0]), 3)


KERAS_3 = generation(keras.__version__) == 3
# Prefix of the names under which tensorflow-addons registers its classes.
_ADDONS = "Addons>"


def tf_variable(variable) -> tf.Variable:
    """Returns the TensorFlow variable of a Keras variable: Keras 3 wraps it, Keras 2 uses it as it is."""
    return variable.value if KERAS_3 else variable


def scale_loss(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """Returns the loss, () float, multiplied by the optimizer's loss scale for half precision, if it has one.

    In Keras 3 every optimizer has the method; in Keras 2 only the wrapper `LossScaleOptimizer` has.
    """
    if KERAS_3:
        return optimizer.scale_loss(loss)
    return optimizer.get_scaled_loss(loss) if hasattr(optimizer, "get_scaled_loss") else loss


def apply_scaled(optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
    """Updates variables with the gradients of a scaled loss, which are the sums over all devices already.

    Keras 3 divides by the scale itself, Keras 2 does not. Both would sum the gradients once more.
    """
    if not KERAS_3 and hasattr(optimizer, "get_unscaled_gradients"):
        gradients = optimizer.get_unscaled_gradients(gradients)
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if several and KERAS_3:  # which has no public name for it
        updating = getattr(optimizer, "inner_optimizer", optimizer)
        updating._all_reduce_sum_gradients = list
    summed = {"experimental_aggregate_gradients": False} if several and not KERAS_3 else {}
    optimizer.apply_gradients(list(zip(gradients, variables, strict=True)), **summed)


def build_optimizer(optimizer: keras.optimizers.Optimizer, variables: list) -> None:
    """Creates an optimizer's slot variables, such as the momentum.

    The optimizers of tensorflow-addons derive from the optimizer class of Keras before 2.11, which has no `build`.
    """
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:
        optimizer._create_all_weights(variables)


def slot(optimizer: keras.optimizers.Optimizer, slots: Sequence, variable: tf.Variable) -> tf.Variable:
    """Returns what an optimizer remembers of a variable that it was built for.

    Args:
        optimizer: the optimizer.
        slots: variables of the optimizer of one kind, such as its momentums.
        variable: the variable.
    """
    if KERAS_3:
        return slots[optimizer._get_variable_index(variable)].value
    return slots[optimizer._index_dict[optimizer._var_key(variable)]]


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Makes the images' channels the last axis and float32 the default inside the context, whatever keras.json says.

    Layers keep the settings with which they were made. A dtype policy that the program chose stays.
    """
    data_format, floatx = keras.backend.image_data_format(), keras.backend.floatx()
    with contextlib.ExitStack() as stack:
        stack.callback(keras.backend.set_image_data_format, data_format)
        stack.callback(keras.backend.set_floatx, floatx)
        chosen = _policy()
        keras.backend.set_image_data_format("channels_last")
        keras.backend.set_floatx("float32")
        if chosen.name == floatx != "float32":
            stack.callback(keras.mixed_precision.set_global_policy, chosen)
            keras.mixed_precision.set_global_policy("float32")
        yield


def _policy():
    return keras.mixed_precision.dtype_policy() if KERAS_3 else keras.mixed_precision.global_policy()


@contextlib.contextmanager
def global_policy(name: str) -> Iterator[None]:
    """Sets Keras's global dtype policy inside the context; layers keep the one with which they were made.

    Args:
        name: name of the policy, such as "mixed_bfloat16".
    """
    before = _policy()
    keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def compute_in_float32(layer: keras.layers.Layer) -> None:
    """Lets a layer compute in float32 if it was made to compute in half precision; its weights are float32 already."""
    if layer.compute_dtype not in ("float16", "bfloat16"):
        return
    if KERAS_3:
        layer.dtype_policy = "float32"
    else:
        layer._set_dtype_policy("float32")


def register_addons(name: str) -> None:
    """Registers the classes of tensorflow-addons with Keras if a name is one of theirs, such as "Addons>SGDW".

    Raises:
        UserError: the name is one of theirs and tensorflow-addons, which needs TensorFlow 2.15, is not installed.
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
    """Registers the classes of tensorflow-addons with Keras if a `.keras` file uses any.

    Raises:
        UserError: the file uses one and tensorflow-addons is not installed.
        zipfile.BadZipFile, KeyError: the file is not a `.keras` file.
    """
    with zipfile.ZipFile(path) as file:
        named = re.search(rf'"({_ADDONS}\w+)"', file.read("config.json").decode())
    if named:
        register_addons(named[1])


def is_foreign(path: Path) -> bool:
    """Returns whether the other generation of Keras wrote a `.keras` file.

    Raises:
        zipfile.BadZipFile, KeyError: the file is not a `.keras` file.
    """
    with zipfile.ZipFile(path) as file:
        return generation(json.loads(file.read("metadata.json"))["keras_version"]) != generation(keras.__version__)


def load_foreign(path: Path) -> keras.Model:
    """Loads a `.keras` file that the other generation of Keras wrote.

    Both generations store weights under the same names. The configurations differ, but only in what is not needed to
    rebuild a chain of layers: the classes' modules, the notation of dtypes and inputs, the references between layers.

    Raises:
        ValueError: the model is not a chain of layers, or has a layer that this generation cannot build.
        AttributeError: a layer's class does not exist in this generation.
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
    # Newer versions write arguments that older ones do not have; those that are None can be left out.
    config = {name: value for name, value in described["config"].items() if value is not None}
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = config["dtype"]["config"]["name"]
    if isinstance(config.get("axis"), list):  # Keras 2 writes the axis of batch normalization as a list
        (config["axis"],) = config["axis"]
    return layer_class.from_config(config)


def package_versions() -> dict[str, str]:
    """Returns the versions of the packages that a result depends on, by name."""
    return {
        "vgg_keras": version.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }
