"""Rebuilds models of others as plain chains of layers, which can be cut, converted and exported."""

import itertools

import keras
import numpy as np

from vgg_keras.models import probe
from vgg_keras.models.probe import Probe


def is_plain(model: keras.Model) -> bool:
    """Returns whether a model is a chain of layers, none of which is a model itself."""
    layers = model.layers
    if len(model.inputs) != 1 or any(isinstance(layer, keras.Model) for layer in layers):
        return False
    first = layers[0] if isinstance(layers[0], keras.layers.InputLayer) else None
    follows = all(layer.input is before.output for before, layer in itertools.pairwise(layers))
    return follows and (first is not None or layers[0].input is model.inputs[0])


def rebuild(model: keras.Model, probed: Probe) -> keras.Model | None:
    """Rebuilds a model as a plain chain: models inside it are taken apart, what precedes the convolutions is folded in.

    Args:
        model: a model of square RGB crops.
        probed: what it did to the images.

    Returns:
        The chain, whose first layer, `mean_rgb`, subtracts a mean; None if the model computes something else than its
        layers one after another.
    """
    if probed.input_map is None:
        return None
    inputs = outputs = keras.Input(model.input_shape[1:], name="images")
    offsets = [-level for level in probed.input_map.mean]
    outputs = keras.layers.Rescaling(1.0, offsets, name="mean_rgb", dtype="float32")(outputs)
    folded = False
    try:
        for step in probed.steps[probed.first_convolution :]:
            copy = type(step.layer).from_config(step.layer.get_config())
            outputs = copy(outputs)
            weights = step.layer.get_weights()
            if isinstance(copy, keras.layers.Conv2D) and not folded:
                weights[0], folded = probed.input_map.fold(weights[0]), True
            copy.set_weights(weights)
        chain = keras.Model(inputs, outputs, name=model.name)
        again = chain(probed.images, training=False)
    except Exception:  # a layer with several inputs, or of a class that cannot be copied
        return None
    return chain if computes_the_same(np.asarray(again), probed.outputs) else None


def computes_the_same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Returns whether two models gave the same outputs, up to rounding."""
    return ours.shape == theirs.shape and bool(np.abs(ours - theirs).max() <= probe.SLACK * np.abs(theirs).max())
