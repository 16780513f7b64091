"""Image descriptors: what a net says before its last layer, averaged over the image (arXiv:1409.1556, appendix B)."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.evaluation.published import DENSE
from vgg_keras.inference import batch_predict
from vgg_keras.inference.loading import ModelUnderTest
from vgg_keras.inference.posteriors import VALUES, PosteriorFunction
from vgg_keras.inference.views import ImagesUnderTest
from vgg_keras.models import fully_convolutional
from vgg_keras.utils.cli import UserError
from vgg_keras.utils.resumable_array import Rows

AVERAGE, STACK = "average", "stack"


def descriptor_function(
    model: ModelUnderTest, layer: str, *, flip: bool, strategy: tf.distribute.Strategy
) -> PosteriorFunction:
    """Returns a model up to a layer as a function from images to descriptors: (B, H, W, 3) -> (B, channels).

    Args:
        model: the model.
        layer: whose outputs, after its ReLU: "fc7", the penultimate one, or another, such as "block5_pool".
        flip: whether the descriptor is averaged with the mirror image's.
        strategy: the devices.

    Raises:
        UserError: the model cannot be converted, or has no such layer with a map.
    """
    with strategy.scope():
        source = model.load()
        converted = fully_convolutional.convert(source)
        names = [one.name for one in converted.layers if len(one.output.shape) == 4]
        if layer not in names:
            raise UserError(f"--layer={layer} is not a layer of {source.name} with a map; it has {', '.join(names)}")
        net = keras.Model(converted.input, converted.get_layer(layer).output)
    return PosteriorFunction(net, strategy, average=VALUES, flip=flip)


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
    function: PosteriorFunction,
    model: ModelUnderTest,
    images: ImagesUnderTest,
    *,
    combine: str,
    folder: Path,
    place: int,
    batch_size: int,
) -> np.ndarray:
    """Describes images by one model, and goes on where a killed process stopped.

    Args:
        function: of `descriptor_function`.
        model: its model, whose test scales are the scales.
        images: the images.
        combine: of several scales: AVERAGE or STACK.
        folder: where the descriptors of each scale are kept meanwhile.
        place: the model's place among others; names its files.
        batch_size: crops' worth of pixels at a time, of all devices together.

    Returns:
        (N, D) float32, rows of length 1; D is the layer's width, times the number of scales if they are stacked.
    """
    of_scales = []
    for side in model.test_scales:
        rows = Rows(folder / f"{place}_{images.split}_{side}.npy", len(images.survey), function.width)
        batch_predict.fill(
            rows,
            lambda: function,
            images,
            method=DENSE,
            smallest_side=side,
            crop_size=model.input_size,
            batch_size=batch_size,
            title=f"{model.trained.net} {images.split} Q={side}",
            what=str(model.path),
        )
        of_scales.append(rows.values())
    return combined(of_scales, combine)
