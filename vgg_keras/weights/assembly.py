"""Puts the layers of a VGG from elsewhere together, in the names and the layout of `vgg.build`."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_keras.data import imagenet
from vgg_keras.models import architectures
from vgg_keras.models.architectures import NETS
from vgg_keras.models.input_map import InputMap
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.utils.errors import UserError
from vgg_keras.weights.transfer import SourceWeights

FC_NAMES = ("fc6", "fc7", "fc8")
# The preprocessing of Caffe, in which the authors published their nets.
CAFFE = InputMap.of(architectures.IMAGENET_MEAN_RGB, reverse=True)
# The preprocessing of torchvision and timm, which scale images to 0..1 and then normalize them.
TORCH = InputMap.of([255 * mean for mean in (0.485, 0.456, 0.406)], [255 * std for std in (0.229, 0.224, 0.225)])

Arrays = Sequence[np.ndarray]


def assemble(name: str, trunk: Mapping[str, Arrays], rest: Mapping[str, Arrays], seen: InputMap) -> SourceWeights:
    """Recognizes the net by its convolutions, and folds the preprocessing into the first one.

    Args:
        name: name of the model in messages.
        trunk: the layers up to the last pool, in their order: `block1_conv1`, `block1_conv1_bn`, ...
        rest: the other layers: `fc6`, `fc7`, `fc8`, and any that the nets here do not have.
        seen: what the first convolution sees of an image.

    Raises:
        UserError: an array has a wrong shape or holds no real numbers; the convolutions are not those of a net of the
            paper, or their input does not have 3 channels.
    """
    convolutions = {layer: arrays for layer, arrays in trunk.items() if "_conv" in layer and layer.count("_") == 1}
    _require_shapes(name, {layer: arrays for layer, arrays in trunk.items() if layer not in convolutions}, (1,) * 4)
    _require_shapes(name, convolutions, (4, 1))
    _require_shapes(name, {layer: rest[layer] for layer in FC_NAMES if layer in rest}, (2, 1))
    everything = {**trunk, **rest}
    blocks = itertools.groupby(convolutions, key=lambda layer: layer.partition("_")[0])
    kernel_sizes = tuple(tuple(convolutions[layer][0].shape[0] for layer in block) for _, block in blocks)
    net = next((net for net, sizes in NETS.items() if tuple(map(tuple, sizes)) == kernel_sizes), None)
    if net is None:
        raise UserError(f"{name} is no net of the paper; its kernels, block by block: {kernel_sizes}")
    layers = {layer: [_as_float32(name, layer, array) for array in arrays] for layer, arrays in everything.items()}
    first, (kernel, *_) = next(iter(convolutions.items()))
    if kernel.shape[2] != 3:
        raise UserError(f"{name} takes {kernel.shape[2]} channels where the nets here take red, green and blue")
    layers[first][0] = seen.fold(layers[first][0])
    input_size = None
    if "fc6" in layers:
        last_channels = convolutions[f"block5_conv{len(kernel_sizes[-1])}"][0].shape[-1]
        input_size = architectures.TOTAL_STRIDE * map_side(name, layers["fc6"][0], last_channels)
    return SourceWeights(name, net, layers, seen.mean, input_size, _imagenet_metadata(net, layers))


def _require_shapes(name: str, layers: Mapping[str, Arrays], dimensions: tuple[int, ...]) -> None:
    """Checks that layers have arrays of certain numbers of dimensions, and as many outputs in each.

    Raises:
        UserError: a layer has others.
    """
    kind = {2: "a dense layer", 4: "a convolution"}.get(dimensions[0])
    for layer, arrays in layers.items():
        outputs = {array.shape[-1] for array in arrays if array.ndim}
        if tuple(array.ndim for array in arrays) != dimensions or len(outputs) != 1 or 0 in arrays[0].shape:
            shapes = ", ".join(str(array.shape) for array in arrays)
            wanted = f"no kernel and bias of {kind}" if kind else "no batch normalization: four vectors"
            raise UserError(f"{name}: {layer} is {wanted}; its shapes are {shapes}")


def _as_float32(name: str, layer: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise UserError(f"{name}: {layer} has numbers of type {array.dtype}, where weights are floating-point numbers")
    return array.astype(np.float32, copy=False)


def map_side(name: str, fc6: np.ndarray, channels: int) -> int:
    """Returns the side of the square map that FC6's kernel, (side * side * channels, out), is applied to.

    Raises:
        UserError: the kernel fits no square map.
    """
    side = math.isqrt(len(fc6) // channels) if fc6.ndim == 2 and channels else 0
    if not side or len(fc6) != side * side * channels:
        raise UserError(f"{name}: FC6's kernel {fc6.shape} looks at no square map of {channels} channels")
    return side


def _imagenet_metadata(net: str, layers: Mapping[str, Arrays]) -> ModelMetadata:
    """Returns the names of ImageNet's classes if there are 1,000: all libraries publish them in the same order."""
    num_classes = layers["fc8"][0].shape[-1] if "fc8" in layers else 0
    if num_classes != len(imagenet.label_names()):
        return ModelMetadata(net=net)
    class_names = [synset for synset, _ in imagenet.synsets()]
    return ModelMetadata(net=net, class_names=class_names, label_names=imagenet.label_names())
