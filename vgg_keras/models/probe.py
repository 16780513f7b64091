"""Finds out what a model of unknown origin computes, by showing it images and watching its layers."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from vgg_keras.models import input_map
from vgg_keras.models.input_map import InputMap
from vgg_keras.utils.errors import UserError, reason

# Side of the images for a model that takes any size.
_FREE_SIDE = 64
# Difference of mean colours, in levels of 0..255, that is put down to resizing; the images' channels differ by more.
_SAME_COLOUR = 8.0
# Largest difference of posteriors, and of their sum from 1, that is put down to rounding.
SLACK = 1e-3
# The layers that may begin the convolutions: some nets pad in a layer of its own.
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.ZeroPadding2D)


@dataclasses.dataclass(frozen=True)
class Step:
    """A layer at work on the images.

    Attributes:
        layer: the layer.
        inputs: what it received.
        outputs: what it returned.
    """

    layer: keras.layers.Layer
    inputs: np.ndarray
    outputs: np.ndarray


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a model did to the images.

    Attributes:
        steps: its layers in the order in which they ran, those of models inside it included.
        outputs: the model's outputs.
    """

    images: np.ndarray
    steps: Sequence[Step]
    outputs: np.ndarray

    @functools.cached_property
    def first_convolution(self) -> int | None:
        """Index of the step with which the convolutions begin, or None if there are none."""
        return next((index for index, step in enumerate(self.steps) if isinstance(step.layer, _CONVOLUTIONS)), None)

    @functools.cached_property
    def input_map(self) -> InputMap | None:
        """What the model does to the pixels before its first convolution; None: nothing of the form `InputMap`."""
        first = self.first_convolution
        return None if first is None else input_map.fit(self.images, self.steps[first].inputs)

    def shows_pixels_unchanged(self) -> bool:
        """Returns whether the first convolution sees RGB 0..255 as it is, resized or cropped perhaps."""
        if self.input_map is not None:
            return self.input_map.is_identity()
        if self.first_convolution is None:
            return False
        seen = self.steps[self.first_convolution].inputs
        if seen.ndim != 4 or seen.shape[3] != 3:
            return False
        # Of noise, a resized or cropped image keeps the mean colour.
        return bool(np.abs(seen.mean(axis=(1, 2)) - self.images.mean(axis=(1, 2))).max() < _SAME_COLOUR)


def images_for(model: keras.Model, name: str) -> np.ndarray:
    """Returns two images of noise, a dark and a bright one of other colours: (2, H, W, 3) float32, whole RGB 0..255.

    Args:
        model: the model that they are for.
        name: its name in messages.

    Raises:
        UserError: the model does not take RGB images.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] != 3:
        raise UserError(f"{name} takes {shape}, where the nets here take RGB images, (batch, S, S, 3)")
    height, width = (side or _FREE_SIDE for side in shape[1:3])
    rng = np.random.default_rng(0)
    lowest, highest = np.array([[0, 20, 5], [60, 0, 100]]), np.array([[100, 60, 160], [255, 210, 255]])
    noise = rng.integers(lowest[:, None, None], highest[:, None, None], (2, height, width, 3), endpoint=True)
    return noise.astype(np.float32)


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers of a model; in place of a model inside it, the layers of that."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


@contextlib.contextmanager
def _watched(layers: Sequence[keras.layers.Layer], steps: list[Step]) -> Iterator[None]:
    """Lets layers note what they receive and return, while the context lasts."""

    def watching(layer: keras.layers.Layer):
        call = layer.call

        def watched(*args, **kwargs):
            outputs = call(*args, **kwargs)
            inputs = args[0] if args else next(iter(kwargs.values()))
            if hasattr(inputs, "shape") and hasattr(outputs, "shape"):
                steps.append(Step(layer, np.asarray(inputs), np.asarray(outputs)))
            return outputs

        return functools.wraps(call)(watched)

    # In the instance's own dict, which is searched before the class; Keras would track an attribute that is set.
    for layer in layers:
        layer.__dict__["call"] = watching(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def run(model: keras.Model, name: str) -> Probe:
    """Shows a model images, and watches its layers.

    Args:
        model: the model.
        name: its name in messages.

    Raises:
        UserError: the model does not take RGB images, or fails on them.
    """
    images = images_for(model, name)
    layers = list({id(layer): layer for layer in leaves(model)}.values())
    steps: list[Step] = []
    try:
        with _watched([one for one in layers if not isinstance(one, keras.layers.InputLayer)], steps):
            outputs = model(images, training=False)
    except Exception as error:  # layers of others raise errors of many kinds
        raise UserError(f"{name} cannot be computed for an image: {reason(error)}") from error
    return Probe(images, steps, np.asarray(outputs))


def why_no_posteriors(outputs: np.ndarray) -> str | None:
    """Returns why a model's outputs, (B, classes), are no posteriors, or None if they are."""
    if not np.isfinite(outputs).all():
        return "gives outputs that are not numbers: its training diverged"
    if outputs.shape[1] == 1 and np.abs(outputs - 1).max() > SLACK:
        return "gives one number, where posteriors of each class are needed: end it in Dense(2, activation='softmax')"
    if outputs.min() < 0 or np.abs(outputs.sum(axis=1) - 1).max() > SLACK:
        lowest, highest = outputs.min(), outputs.max()
        return (
            "does not give posteriors (numbers from 0 to 1 with the sum 1) but numbers from "
            f"{lowest:.3g} to {highest:.3g}: it must end in a softmax, "
            "such as keras.Model(model.input, keras.layers.Softmax()(model.output)) if these are scores"
        )
    return None
