"""Image descriptors: what a net says before its last layer, averaged over the image (arXiv:1409.1556, appendix B)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras import fully_convolutional, views
from vgg_keras.command_line import UserError, progress_bar
from vgg_keras.datasets import ImageData
from vgg_keras.paper import DENSE
from vgg_keras.posteriors import VALUES, PosteriorFunction, PosteriorRows, compute
from vgg_keras.tested_models import ModelUnderTest

AVERAGE, STACK = "average", "stack"


@dataclasses.dataclass(frozen=True)
class Description:
    """How images are described.

    Attributes:
        layer: whose outputs, after its ReLU: "fc7", the penultimate one, or another, such as "block5_pool".
        flip: whether the descriptor is averaged with the mirror image's.
        combine: of several scales: AVERAGE or STACK.
    """

    layer: str = "fc7"
    flip: bool = True
    combine: str = AVERAGE


def descriptor_net(model: keras.Model, layer: str) -> keras.Model:
    """Returns the fully convolutional net up to a layer: (B, H, W, 3), RGB 0..255 -> (B, h, w, channels).

    Raises:
        UserError: the model cannot be converted, or has no such layer with a map.
    """
    converted = fully_convolutional.convert(model)
    names = [one.name for one in converted.layers if len(one.output.shape) == 4]
    if layer not in names:
        raise UserError(f"--layer={layer} is not a layer of {model.name} with a map; it has {', '.join(names)}")
    return keras.Model(converted.input, converted.get_layer(layer).output)


def normalised(descriptors: np.ndarray) -> np.ndarray:
    """Scales each row to the length 1; (N, D) float32. A row of zeros stays one."""
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return (descriptors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)


def combined(of_scales: Sequence[np.ndarray], combine: str) -> np.ndarray:
    """Joins the descriptors of several scales, or nets, to rows of length 1.

    Args:
        of_scales: (N, D) each.
        combine: AVERAGE: their mean; STACK: one beside the other, each first scaled to the length 1.
    """
    if combine == AVERAGE:
        return normalised(np.mean(of_scales, axis=0, dtype=np.float64))
    return normalised(np.concatenate([normalised(part) for part in of_scales], axis=1))


def describe(
    model: ModelUnderTest,
    data: ImageData,
    split: str,
    survey: views.Survey,
    description: Description,
    *,
    folder: Path,
    place: int,
    strategy: tf.distribute.Strategy,
    batch_size: int,
) -> np.ndarray:
    """Describes the images of a split by one model, and goes on where a killed process stopped.

    Args:
        model: the model; its test scales are the scales.
        data: the data set.
        split: the split.
        survey: what is known of the split.
        description: how.
        folder: where the descriptors of each scale are kept meanwhile.
        place: the model's place among others; names its files.
        strategy: the devices.
        batch_size: crops' worth of pixels at a time, of all devices together.

    Returns:
        (N, D) float32, rows of length 1; D is the layer's width, times the number of scales if they are stacked.
    """
    survey.check_extents(max(model.test_scales), model.input_size, batch_size)
    with strategy.scope():
        net = descriptor_net(model.load(), description.layer)
    function = PosteriorFunction(net, strategy, average=VALUES, flip=description.flip)
    of_scales = []
    for side in model.test_scales:
        rows = PosteriorRows(folder / f"{place}_{split}_{side}.npy", len(survey), net.output_shape[-1])
        pending = rows.pending()
        batches = views.view_batches(
            data,
            split,
            survey,
            pending,
            method=DENSE,
            smallest_side=side,
            crop_size=model.input_size,
            batch_size=batch_size,
        )
        what = f"{model.trained.net} {split} Q={side}"
        with progress_bar(what, len(survey), " images", initial=len(survey) - int(pending.sum())) as bar:
            compute(rows, batches, function, num_views=1, bar=bar, what=str(model.path))
        of_scales.append(rows.values())
    return combined(of_scales, description.combine)
