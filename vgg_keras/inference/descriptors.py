"""Computes image descriptors: a layer's outputs, averaged over the image (arXiv:1409.1556, appendix B)."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference.batch_predict import predict_split
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.posteriors import VALUES, DistributedPredictor
from vgg_keras.inference.protocol import AVERAGE, DENSE, LINEAR, SQRT
from vgg_keras.inference.views import ViewSpec, require_fits
from vgg_keras.models import fully_convolutional
from vgg_keras.utils import devices
from vgg_keras.utils.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class DescriptorNet:
    """A net that computes descriptors.

    Attributes:
        predictor: the net on its devices: (B, H, W, 3) float32, RGB 0..255 -> (B, D) float32.
        widths: number of values from each layer; their sum is D.
    """

    predictor: DistributedPredictor
    widths: Sequence[int]


def descriptor_net(
    model: EvaluatedModel, layers: Sequence[str], *, flip: bool, strategy: tf.distribute.Strategy
) -> DescriptorNet:
    """Cuts a model after a layer, so that it computes descriptors.

    Args:
        model: the model.
        layers: names of the layers whose outputs, after their ReLU, are the descriptors, side by side: "fc7", the
            penultimate one, or others, such as "block5_pool".
        flip: whether the descriptor is averaged with that of the mirror image.
        strategy: the devices.

    Raises:
        UserError: the model cannot be converted, or has no layer of this name that outputs a map.
    """
    with strategy.scope():
        map_net = fully_convolutional.convert(model.net)
        net = _cut_after(map_net, layers)
    widths = [map_net.get_layer(layer).output.shape[-1] for layer in layers]
    return DescriptorNet(DistributedPredictor(net, strategy, average=VALUES, flip=flip), widths)


def _cut_after(map_net: keras.Model, layers: Sequence[str]) -> keras.Model:
    """Returns the net to the map of one layer, or to the means of the maps of several, side by side."""
    # What lies before the first convolution is the image itself.
    describing = itertools.dropwhile(lambda one: not isinstance(one, keras.layers.Conv2D), map_net.layers)
    names = [one.name for one in describing if len(one.output.shape) == 4]
    for layer in layers:
        if layer not in names:
            known = f"{', '.join(names)}{did_you_mean(layer, names)}"
            raise UserError(f"--layer={layer} is not a layer that can describe an image; the model has {known}")
    maps = [map_net.get_layer(layer).output for layer in layers]
    if len(maps) == 1:
        return keras.Model(map_net.input, maps[0])
    means = [keras.layers.GlobalAveragePooling2D(dtype="float32")(one) for one in maps]
    return keras.Model(map_net.input, keras.layers.Concatenate(dtype="float32")(means))


class PhotoDescriber:
    """Computes descriptors of photos, one photo at a time: averages over positions, mirror images and test scales.

    Args:
        model: the model, with the test scales.
        map_net: the model as a fully convolutional net.
        layer: name of the layer whose outputs are the descriptors.
        flip: whether the descriptor is averaged with that of the mirror image.

    Raises:
        UserError: the model has no layer of this name that outputs a map.
    """

    def __init__(self, model: EvaluatedModel, map_net: keras.Model, layer: str, *, flip: bool = True):
        strategy, _ = devices.make_strategy("one_device")
        self._predict = DistributedPredictor(_cut_after(map_net, [layer]), strategy, average=VALUES, flip=flip)
        self._specs = [ViewSpec(DENSE, side, model.input_size) for side in model.test_scales]

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Describes a photo: (H, W, 3) uint8 -> (channels,) float32, of length 1.

        Raises:
            BadImage: the photo is so long and thin that, rescaled, it would not fit into memory.
        """
        for spec in self._specs:
            require_fits(photo, spec)
        return combine_descriptors([self._predict(spec.extract(photo)) for spec in self._specs], AVERAGE)[0]


def normalise(descriptors: np.ndarray) -> np.ndarray:
    """Scales each row to length 1: (N, D) -> (N, D) float32. A row of zeros stays as it is."""
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return (descriptors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def scale_layers(descriptors: np.ndarray, widths: Sequence[int], power: str = LINEAR) -> np.ndarray:
    """Scales the values of each layer in a descriptor to the same length, and the descriptor to length 1.

    Args:
        descriptors: (N, D), the values of the layers side by side.
        widths: number of values of each layer; their sum is D.
        power: one of POWERS; SQRT takes the square root of each value, and keeps its sign, by which a few large values
            weigh less.

    Returns:
        (N, D) float32, rows of length 1.
    """
    values = np.sign(descriptors) * np.sqrt(np.abs(descriptors)) if power == SQRT else descriptors
    parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
    scaled = [normalise(part) for part in parts]
    return scaled[0] if len(scaled) == 1 else normalise(np.concatenate(scaled, axis=1))


def combine_descriptors(
    parts: Sequence[np.ndarray], combine: str, widths: Sequence[int] = (), power: str = LINEAR
) -> np.ndarray:
    """Combines the descriptors of several scales or nets into rows of length 1.

    Args:
        parts: (N, D) for each scale or net.
        combine: AVERAGE: the mean of the parts; STACK: the parts side by side, each first scaled to length 1.
        widths: number of values of each layer in a part; none: a part is of one layer.
        power: one of POWERS, see `scale_layers`.

    Returns:
        (N, D) float32, or with STACK (N, sum of the widths D).
    """
    if combine == AVERAGE:
        parts = [np.asarray(np.mean(parts, axis=0, dtype=np.float64))]
    scaled = [scale_layers(part, widths or [part.shape[1]], power) for part in parts]
    return scaled[0] if combine == AVERAGE else normalise(np.concatenate(scaled, axis=1))


def describe_split(
    net: DescriptorNet,
    model: EvaluatedModel,
    manifest: SplitManifest,
    *,
    combine: str,
    power: str = LINEAR,
    folder: Path,
    model_index: int,
    batch_size: int,
) -> np.ndarray:
    """Computes one model's descriptors of the images of a split, and resumes where a killed process stopped.

    Args:
        net: result of `descriptor_net`.
        model: the model from which `net` was cut; the descriptors are computed at its test scales.
        manifest: the images, or their windows.
        combine: how the descriptors of several scales are combined: AVERAGE or STACK.
        power: one of POWERS, see `scale_layers`.
        folder: folder in which the descriptors of each scale are kept until the run ends.
        model_index: index among the models of the run; part of the files' names.
        batch_size: batch size of all devices together, in crops; whole images are batched to as many pixels.

    Returns:
        (N, D) float32, rows of length 1; D is the layers' width, times the number of scales if they are stacked.

    Raises:
        UserError: a record cannot be read, an output is not finite, or memory ran out.
    """
    parts = []
    for side in model.test_scales:
        region = "" if manifest.windows is None else "_box"
        outputs = predict_split(
            folder / f"{model_index}_{manifest.split}{region}_{side}.npy",
            net.predictor,
            manifest,
            ViewSpec(DENSE, side, model.input_size, batch_size),
            title=f"{model.trained.net} {manifest.split}{region.replace('_', ' ')} Q={side}",
            model_name=str(model.path),
        )
        parts.append(outputs.values())
    return combine_descriptors(parts, combine, net.widths, power)
