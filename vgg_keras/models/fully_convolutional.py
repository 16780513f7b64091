"""Converts a trained net to a fully convolutional one, for images of any size (arXiv:1409.1556, sect. 3.2).

Such a net computes a class-score map: the scores of all classes for each position of the net's input window, which
moves over the image in steps of 32 pixels.
"""

import itertools

import keras
import numpy as np

from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError

_FLOAT32_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)


@keras_compat.own_settings()
def convert(model: keras.Model, dtype: str = "float32") -> keras.Model:
    """Converts the FC layers to convolutions: FC6 to one as large as its input map, unpadded, FC7 and FC8 to 1x1.

    The result keeps the source's weights and layer names, and leaves out only dropout and the softmax. For an image of
    the source's input size the map has one position, which holds the source's scores.

    Args:
        model: a chain of layers with one `Flatten`, such as `vgg.build` makes.
        dtype: dtype of weights and outputs, such as "bfloat16"; the mean, batch normalization and the scores are always
            float32, because half precision is too coarse for them.

    Returns:
        A model from (B, H, W, 3) float32, RGB 0..255, H and W at least the source's input size, to the class-score map
        (B, H/32 - 6, W/32 - 6, classes) float32 (for 224x224 sources), logits.

    Raises:
        UserError: the model is not a chain of layers with one `Flatten` followed by `Dense` layers.
    """
    require_convertible(model)
    inputs = outputs = keras.Input((None, None, 3), name="images")
    flattened = None
    scoring = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            flattened = tuple(layer.input.shape[1:])  # (h, w, C)
        elif isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            layer_dtype = "float32" if layer is scoring else dtype
            outputs, convolution = _add_convolution(layer, flattened, kernel.shape, outputs, layer_dtype)
            # Flatten orders its outputs by row, column and channel, as a kernel does: a reshape is enough.
            convolution.set_weights([np.reshape(kernel, convolution.get_weights()[0].shape), bias])
            flattened = None
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout)) and not _is_softmax(layer):
            layer_dtype = "float32" if isinstance(layer, _FLOAT32_LAYERS) else dtype
            copy = type(layer).from_config({**layer.get_config(), "dtype": layer_dtype})
            outputs = copy(outputs)
            copy.set_weights(layer.get_weights())
    return keras.Model(inputs, outputs, name=f"{model.name}_fully_convolutional")


def _is_softmax(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.softmax
    return isinstance(layer, keras.layers.Softmax)


def why_not_convertible(model: keras.Model) -> str | None:
    """Returns why a model cannot be converted, or None if it can."""
    kinds = [type(layer) for layer in model.layers]
    one_flatten = kinds.count(keras.layers.Flatten) == 1
    why = f"{model.name} cannot be made fully convolutional"
    if not one_flatten or keras.layers.Dense not in kinds[kinds.index(keras.layers.Flatten) :]:
        names = ", ".join(layer.name for layer in model.layers)
        return f"{why}: it needs one Flatten layer followed by Dense layers; its layers are {names}"
    for before, layer in itertools.pairwise(model.layers):
        if layer.input is not before.output:
            return f"{why}: it must be a chain of layers, and {layer.name} does not follow {before.name} alone"
    return None


def require_convertible(model: keras.Model) -> None:
    """Checks that a model can be converted.

    Raises:
        UserError: the model is not a chain of layers with one `Flatten` followed by `Dense` layers.
    """
    why = why_not_convertible(model)
    if why:
        raise UserError(why)


def _add_convolution(
    dense: keras.layers.Dense, flattened: tuple | None, kernel_shape: tuple, inputs, dtype: str
) -> tuple:
    """Returns the outputs of the convolution that replaces a dense layer, and the convolution."""
    kernel_size = flattened[:2] if flattened else (1, 1)
    # A head may end in Dense(activation="softmax"); the map holds the scores before the softmax.
    softmax = dense.activation is keras.activations.softmax
    convolution = keras.layers.Conv2D(
        kernel_shape[-1],
        kernel_size,
        padding="valid",
        activation=None if softmax else dense.activation,
        name=dense.name,
        dtype=dtype,
    )
    return convolution(inputs), convolution
