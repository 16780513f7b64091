"""Computes image descriptors: a layer's outputs, averaged over the image (arXiv:1409.1556, appendix B)."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference.batch_predict import predict_split
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.posteriors import VALUES, DistributedPredictor
from vgg_keras.inference.protocol import AVERAGE, DENSE
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models import fully_convolutional
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray


def descriptor_net(
    model: EvaluatedModel, layer: str, *, flip: bool, strategy: tf.distribute.Strategy
) -> DistributedPredictor:
    """Cuts a model after a layer, so that it computes descriptors: (B, H, W, 3) -> (B, channels) float32.

    Args:
        model: the model.
        layer: name of the layer whose outputs, after its ReLU, are the descriptors: "fc7", the penultimate one, or
            another one, such as "block5_pool".
        flip: whether the descriptor is averaged with that of the mirror image.
        strategy: the devices.

    Raises:
        UserError: the model cannot be converted, or has no layer of this name that outputs a map.
    """
    with strategy.scope():
        converted = fully_convolutional.convert(model.net)
        names = [one.name for one in converted.layers if len(one.output.shape) == 4]
        if layer not in names:
            raise UserError(f"--layer={layer} is not a layer of {model.net.name} with a map; it has {', '.join(names)}")
        net = keras.Model(converted.input, converted.get_layer(layer).output)
    return DistributedPredictor(net, strategy, average=VALUES, flip=flip)


def normalise(descriptors: np.ndarray) -> np.ndarray:
    """Scales each row to length 1: (N, D) -> (N, D) float32. A row of zeros stays as it is."""
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return (descriptors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def combine_descriptors(parts: Sequence[np.ndarray], combine: str) -> np.ndarray:
    """Combines the descriptors of several scales or nets into rows of length 1.

    Args:
        parts: (N, D) for each scale or net.
        combine: AVERAGE: the mean of the parts; STACK: the parts side by side, each first scaled to length 1.

    Returns:
        (N, D) float32, or with STACK (N, sum of the widths D).
    """
    if combine == AVERAGE:
        return normalise(np.asarray(np.mean(parts, axis=0, dtype=np.float64)))
    return normalise(np.concatenate([normalise(part) for part in parts], axis=1))


def describe_split(
    net: DistributedPredictor,
    model: EvaluatedModel,
    manifest: SplitManifest,
    *,
    combine: str,
    folder: Path,
    model_index: int,
    batch_size: int,
) -> np.ndarray:
    """Computes one model's descriptors of the images of a split, and resumes where a killed process stopped.

    Args:
        net: result of `descriptor_net`.
        model: the model from which `net` was cut; the descriptors are computed at its test scales.
        manifest: the images.
        combine: how the descriptors of several scales are combined: AVERAGE or STACK.
        folder: folder in which the descriptors of each scale are kept until the run ends.
        model_index: index among the models of the run; part of the files' names.
        batch_size: batch size of all devices together, in crops; whole images are batched to as many pixels.

    Returns:
        (N, D) float32, rows of length 1; D is the layer's width, times the number of scales if they are stacked.

    Raises:
        UserError: a record cannot be read, an output is not finite, or memory ran out.
    """
    parts = []
    for side in model.test_scales:
        outputs = ResumableArray(folder / f"{model_index}_{manifest.split}_{side}.npy", len(manifest), net.width)
        predict_split(
            outputs,
            net,
            manifest,
            ViewSpec(DENSE, side, model.input_size, batch_size),
            title=f"{model.trained.net} {manifest.split} Q={side}",
            model_name=str(model.path),
        )
        parts.append(outputs.values())
    return combine_descriptors(parts, combine)
