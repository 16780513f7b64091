"""Builds the nets of arXiv:1409.1556, Table 1."""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np

from vgg_keras.models.architectures import (
    BLOCK_WIDTHS,
    BOX_REGRESSIONS,
    FC_WIDTH,
    IMAGENET_MEAN_RGB,
    INITIALIZERS,
    NETS,
    TOTAL_STRIDE,
    find_net,
)
from vgg_keras.models.box_regression import num_outputs
from vgg_keras.models.input_map import InputMap
from vgg_keras.models.layers import LocalResponseNormalization
from vgg_keras.models.preparation import INPUT_SCALINGS, MEAN, MINUS_ONE_TO_ONE
from vgg_keras.models.probe import Probe
from vgg_keras.utils import keras_compat


@dataclasses.dataclass(frozen=True)
class Initialization:
    """Distribution of the initial weights; biases start at 0.

    Attributes:
        name: "glorot" (uniform; with it, as the authors found later, deep nets need not start from a trained net A),
            "normal" (sect. 3.1; with the paper's variance the first loss is far too large to learn from) or "he"
            (normal).
        variance: variance of "normal"; 1e-2 in the paper, which many reproductions read as the standard deviation
            (a variance of 1e-4).
        seed: seed of the net, from which each layer derives its own; None draws a random one.
    """

    name: str = "glorot"
    variance: float = 1e-2
    seed: int | None = None

    def for_layer(self, index: int) -> keras.initializers.Initializer:
        """Returns the initializer of a layer.

        Args:
            index: index of the layer among those with weights.

        Raises:
            ValueError: the name is unknown.
        """
        # Layers with the same seed would start from the same numbers.
        seed = None if self.seed is None else self.seed * 1000 + index
        if self.name == "normal":
            return keras.initializers.RandomNormal(stddev=math.sqrt(self.variance), seed=seed)
        if self.name == "glorot":
            return keras.initializers.GlorotUniform(seed=seed)
        if self.name == "he":
            return keras.initializers.HeNormal(seed=seed)
        raise ValueError(f"initializer must be one of {', '.join(INITIALIZERS)}, received {self.name!r}")


def model_name(net: str) -> str:
    """Returns the name of the Keras model of a net, such as "vgg_a_lrn" for "A-LRN"."""
    return "vgg_" + net.lower().replace("-", "_")


def net_name(model: keras.Model) -> str | None:
    """Returns the key of `NETS` that a model was built from, or None if `build` did not make the model."""
    return next((net for net in NETS if model_name(net) == model.name), None)


# Names of the first layer: the second one is scaled too.
_MEAN_RGB, _SCALED_RGB = "mean_rgb", "scaled_rgb"
_HALF_LEVELS = 127.5
_POOLING = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}


class _Chain:
    """Appends layers to a net; each layer with weights gets a seed of its own."""

    def __init__(self, inputs, initialization: Initialization, weight_decay: float):
        self.outputs = inputs
        self._initialization = initialization
        self._weight_decay = weight_decay
        self._num_weight_layers = 0

    def add(self, layer: keras.layers.Layer) -> None:
        self.outputs = layer(self.outputs)

    def weight_arguments(self) -> dict:
        """Returns the initializer and the penalty of the next layer with weights."""
        self._num_weight_layers += 1
        return {
            "kernel_initializer": self._initialization.for_layer(self._num_weight_layers),
            # The gradient of Keras's L2(l) is 2 * l * w; that of Caffe, which the authors used, is weight_decay * w.
            "kernel_regularizer": keras.regularizers.L2(self._weight_decay / 2) if self._weight_decay else None,
        }

    def add_convolution(self, name: str, filters: int, kernel_size: int, batch_norm: bool) -> None:
        activation = None if batch_norm else "relu"
        arguments = {"padding": "same", "activation": activation, "name": name, **self.weight_arguments()}
        self.add(keras.layers.Conv2D(filters, kernel_size, **arguments))
        if batch_norm:
            # PyTorch's epsilon: with Keras's 1e-3 the outputs of torchvision's nets would not be reproduced.
            self.add(keras.layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn"))
            self.add(keras.layers.ReLU(name=f"{name}_relu"))


@keras_compat.own_settings()
def build(
    net: str,
    num_classes: int = 1000,
    *,
    input_size: int | None = 224,
    mean_rgb: Sequence[float] = IMAGENET_MEAN_RGB,
    dropout: float = 0.5,
    weight_decay: float = 5e-4,
    initialization: Initialization | None = None,
    batch_norm: bool = False,
    width_multiplier: float = 1.0,
    include_top: bool = True,
    pooling: str | None = None,
    box_regression: str | None = None,
    input_scaling: str = MEAN,
) -> keras.Model:
    """Builds a net of arXiv:1409.1556, Table 1, as a plain chain of Keras layers.

    Layers are named `block3_conv2`, `block3_pool`, and, after five blocks, `fc6`, `fc7`, `fc8`, the fully connected
    (FC) layers; `fc8` computes the class scores (logits), the last layer, `softmax`, the posteriors. Input: (B, S, S,
    3) float32, RGB 0..255; output: (B, num_classes) float32.

    Args:
        net: key of `NETS`.
        num_classes: number of classes.
        input_size: height and width of the input in pixels, a multiple of 32; without the top also None, any size.
        mean_rgb: mean RGB of the training set, 0..255, which the first layer subtracts (sect. 2.1).
        dropout: dropout rate after FC6 and FC7 (sect. 3.1), 0..1.
        weight_decay: factor of the L2 penalty, whose gradient is `weight_decay * w` for each kernel w (sect. 3.1).
        initialization: distribution of the initial weights; None: Glorot's.
        batch_norm: whether batch normalization stands between each convolution and its ReLU (not in the paper).
        width_multiplier: factor of the number of channels of every hidden layer, for small experiments.
        include_top: whether the net has its FC layers; without them the output is that of `block5_pool`, (B, S/32,
            S/32, 512) float32.
        box_regression: "scr" or "pcr": in the place of the class scores the last layer, `fc8_boxes`, gives one box, (B,
            4), or a box for each class, (B, 4 * num_classes), as (centre x, centre y, width, height) relative to the
            input (app. A.1); None: class scores.
        pooling: without the top, "avg" or "max" of that map over its positions, (B, 512); None: the map.
        input_scaling: what the first layer does: "mean": it subtracts `mean_rgb`; "minus_one_to_one": it gives (x / 255
            - 0.5) / 0.5, and `mean_rgb` plays no part (not in the paper).

    Raises:
        ValueError: the net is unknown, or an argument is out of its range.
    """
    net = find_net(net)
    if input_size is None and include_top:
        raise ValueError("input_size must be a number, since the FC layers need a fixed size; received None")
    if input_size is not None and (input_size < TOTAL_STRIDE or input_size % TOTAL_STRIDE):
        raise ValueError(f"input_size must be a positive multiple of {TOTAL_STRIDE}, received {input_size}")
    if pooling is not None and (include_top or pooling not in _POOLING):
        raise ValueError(f"pooling must be None, or avg or max without the top, received {pooling!r}")
    if box_regression not in (None, *BOX_REGRESSIONS) or (box_regression and not include_top):
        raise ValueError(
            f"box_regression must be None, or {' or '.join(BOX_REGRESSIONS)} with the top, received {box_regression!r}"
        )
    if input_scaling not in INPUT_SCALINGS:
        raise ValueError(f"input_scaling must be {' or '.join(INPUT_SCALINGS)}, received {input_scaling!r}")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, received {num_classes}")
    widths = [round(width * width_multiplier) for width in (*BLOCK_WIDTHS, FC_WIDTH)]
    if min(widths) < 1:
        raise ValueError(f"width_multiplier leaves layers without channels, received {width_multiplier}")

    inputs = keras.Input((input_size, input_size, 3), name="images")
    chain = _Chain(inputs, initialization or Initialization(), weight_decay)
    chain.add(_first_layer(mean_rgb, input_scaling))
    for block, (kernel_sizes, filters) in enumerate(zip(NETS[net], widths, strict=False), start=1):
        for position, kernel_size in enumerate(kernel_sizes, start=1):
            chain.add_convolution(f"block{block}_conv{position}", filters, kernel_size, batch_norm)
            if net == "A-LRN" and block == position == 1:
                chain.add(LocalResponseNormalization(name="block1_lrn"))
        chain.add(keras.layers.MaxPooling2D(2, name=f"block{block}_pool"))
    if include_top:
        _add_top(chain, widths[-1], num_classes, dropout, box_regression)
    elif pooling:
        chain.add(_POOLING[pooling](name=f"{pooling}_pool"))
    return keras.Model(inputs, chain.outputs, name=model_name(net))


def _first_layer(mean_rgb: Sequence[float], input_scaling: str) -> keras.layers.Layer:
    """Returns the layer that takes RGB 0..255 and gives what the first convolution sees."""
    # float32 under every policy: half precision is too coarse for the difference of a level 0..255 and a mean.
    if input_scaling == MINUS_ONE_TO_ONE:
        return keras.layers.Rescaling(1 / _HALF_LEVELS, -1.0, name=_SCALED_RGB, dtype="float32")
    offsets = [-float(level) for level in mean_rgb]
    return keras.layers.Rescaling(1.0, offsets, name=_MEAN_RGB, dtype="float32")


def _add_top(chain: _Chain, width: int, num_classes: int, dropout: float, box_kind: str | None) -> None:
    """Appends the three FC layers and the softmax, or the layer of boxes."""
    chain.add(keras.layers.Flatten(name="flatten"))
    for name in ("fc6", "fc7"):
        chain.add(keras.layers.Dense(width, activation="relu", name=name, **chain.weight_arguments()))
        chain.add(keras.layers.Dropout(dropout, name=f"{name}_dropout"))
    if box_kind:
        width = num_outputs(box_kind, num_classes)
        chain.add(keras.layers.Dense(width, name="fc8_boxes", dtype="float32", **chain.weight_arguments()))
        return
    # float32: in half precision the softmax would lose the small posteriors.
    chain.add(keras.layers.Dense(num_classes, name="fc8", dtype="float32", **chain.weight_arguments()))
    chain.add(keras.layers.Softmax(name="softmax", dtype="float32"))


def layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a model that have weights, by name."""
    return {layer.name: layer for layer in model.layers if layer.weights}


def begins_as_built(model: keras.Model) -> bool:
    """Returns whether a model begins as those of `build` do: with a layer that takes RGB 0..255."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return bool(layers) and layers[0].name in (_MEAN_RGB, _SCALED_RGB) and _is_rescaling(layers[0])


def _is_rescaling(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Rescaling)


def is_keras_applications_vgg(model: keras.Model, probed: Probe) -> bool:
    """Returns whether a model is keras.applications' VGG16 or VGG19, or built from its layers, without preprocessing.

    Such a model takes (B, S, S, 3) with the channels blue, green, red and the mean subtracted, which its users do with
    `preprocess_input`. That its convolutions see the pixels as they are is measured; what its users do to them before
    no graph tells, so the name of the first convolution has to.

    Args:
        model: the model.
        probed: what it did to images.
    """
    first = probed.first_convolution
    if first is None or begins_as_built(model) or not probed.shows_pixels_unchanged():
        return False
    return any(step.layer.name == "block1_conv1" for step in probed.steps[first : first + 2])


def input_map(model: keras.Model) -> InputMap:
    """Returns what the first layer of a model of `build` does to RGB 0..255; nothing if it has no such layer."""
    first = next(filter(_is_rescaling, model.layers), None)
    if first is None:
        return InputMap()
    scale = np.broadcast_to(np.ravel(first.scale), 3).astype(float)
    return InputMap.of(-np.broadcast_to(np.ravel(first.offset), 3) / scale, 1 / scale)


def subtracted_mean_rgb(model: keras.Model) -> tuple[float, ...]:
    """Returns the mean RGB that the first layer of a model subtracts, 0..255; zeros if it subtracts none."""
    return input_map(model).mean
