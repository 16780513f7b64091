"""Builds nets of Table 1 in one call, with or without published weights."""

import os
from pathlib import Path

import keras

from vgg_keras.models import vgg
from vgg_keras.models.architectures import IMAGENET_MEAN_RGB, find_net
from vgg_keras.models.preparation import MEAN
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import PathLike
from vgg_keras.weights import formats, transfer

# What keras.applications calls the weights that it publishes.
_IMAGENET = "imagenet"


def build(
    net: str,
    num_classes: int = 1000,
    *,
    weights: PathLike | None = None,
    include_top: bool = True,
    pooling: str | None = None,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    dropout: float = 0.5,
    weight_decay: float = 5e-4,
    initializer: str = "glorot",
    initializer_variance: float = 1e-2,
    seed: int | None = None,
    batch_norm: bool = False,
    width_multiplier: float = 1.0,
    input_scaling: str = MEAN,
) -> keras.Model:
    """Builds a net of arXiv:1409.1556, Table 1, as a plain Keras model.

    The model takes (B, S, S, 3) float32, RGB 0..255 (it subtracts the mean itself), and gives posteriors (B,
    num_classes) float32. Layers are named `block3_conv2`, `block3_pool`, `fc6`, `fc7`, `fc8` and `softmax`.

    >>> import vgg_keras as vgg
    >>> net = vgg.build("VGG16", num_classes=5)
    >>> net.count_params()
    134281029
    >>> vgg.build("D", include_top=False, pooling="avg", input_shape=(None, None, 3)).output_shape
    (None, 512)

    Args:
        net: name of the net: A, A-LRN, B, C, D, E or B-5x5, or what it is called elsewhere, such as "VGG16" for D.
        num_classes: number of classes.
        weights: weights to start from, and the mean that they were trained with: a `.keras` file, a run's folder,
            keras.applications' HDF5, .pth or .safetensors of torchvision or timm, a KerasHub preset's folder;
            "imagenet": those that keras.applications publishes, which are downloaded. Layers whose shapes differ, such
            as `fc8` for another number of classes, keep their initial weights. None: all weights are random.
        include_top: whether the net has its FC layers; without them the output is the map of `block5_pool`.
        pooling: without the top, "avg" or "max" of that map over its positions; None: the map itself.
        input_shape: (S, S, 3), S a multiple of 32 in pixels; without the top also (None, None, 3), for any size.
        dropout: dropout rate after FC6 and FC7, 0..1.
        weight_decay: factor of the L2 penalty; its gradient is `weight_decay * w`, as in Caffe (sect. 3.1).
        initializer: distribution of the initial weights: "glorot", "he", or "normal" as in the paper.
        initializer_variance: variance of "normal".
        seed: seed of the initial weights; None draws a random one.
        batch_norm: whether batch normalization follows each convolution (not in the paper).
        width_multiplier: factor of the number of channels of every hidden layer, for small experiments.
        input_scaling: what the first layer does to RGB 0..255: "mean": it subtracts the mean; "minus_one_to_one": it
            gives (x / 255 - 0.5) / 0.5, and `weights` are changed to fit.

    Raises:
        UserError: the net is unknown, an argument is out of its range, or the weights cannot be read or do not fit.
    """
    if len(input_shape) != 3 or input_shape[0] != input_shape[1] or input_shape[2] != 3:
        raise UserError(f"input_shape={input_shape} must be (S, S, 3): square RGB images")
    try:
        source = None
        if weights is not None:
            source = formats.read_weights(_source(weights), find_net(net), num_classes if include_top else 0)
        model = vgg.build(
            net,
            num_classes,
            input_size=input_shape[0],
            mean_rgb=source.mean_rgb if source else IMAGENET_MEAN_RGB,
            dropout=dropout,
            weight_decay=weight_decay,
            initialization=vgg.Initialization(initializer, initializer_variance, seed),
            batch_norm=batch_norm or bool(source and source.has_batch_norm()),
            width_multiplier=width_multiplier,
            include_top=include_top,
            pooling=pooling,
            input_scaling=input_scaling,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    if source:
        transfer.transfer_weights(source, model)
    return model


def _source(weights: PathLike) -> str:
    name = paths.expand(os.fspath(weights), os.fspath(weights))
    return formats.KERAS_APPLICATIONS if name == _IMAGENET and not Path(name).exists() else name


def vgg11(num_classes: int = 1000, **arguments) -> keras.Model:
    """Builds net A, with 11 weight layers; takes the arguments of `build`.

    >>> import vgg_keras as vgg
    >>> vgg.vgg11(input_shape=(64, 64, 3), width_multiplier=1 / 8).name
    'vgg_a'
    """
    return build("A", num_classes, **arguments)


def vgg13(num_classes: int = 1000, **arguments) -> keras.Model:
    """Builds net B, with 13 weight layers; takes the arguments of `build`.

    >>> import vgg_keras as vgg
    >>> vgg.vgg13(input_shape=(64, 64, 3), width_multiplier=1 / 8).name
    'vgg_b'
    """
    return build("B", num_classes, **arguments)


def vgg16(num_classes: int = 1000, **arguments) -> keras.Model:
    """Builds net D, with 16 weight layers; takes the arguments of `build`.

    >>> import vgg_keras as vgg
    >>> vgg.vgg16(include_top=False).output_shape
    (None, 7, 7, 512)
    """
    return build("D", num_classes, **arguments)


def vgg19(num_classes: int = 1000, **arguments) -> keras.Model:
    """Builds net E, with 19 weight layers; takes the arguments of `build`.

    >>> import vgg_keras as vgg
    >>> vgg.vgg19(input_shape=(64, 64, 3), width_multiplier=1 / 8).name
    'vgg_e'
    """
    return build("E", num_classes, **arguments)
