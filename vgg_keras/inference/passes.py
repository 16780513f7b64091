"""Describes how models that are no Keras models of this process, such as exports, are tested on a split."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from vgg_keras.inference.protocol import TestProtocol, TrainedNet
from vgg_keras.inference.views import ViewSpec


class PosteriorFunction(Protocol):
    """A function that computes the outputs of a batch of views."""

    @property
    def gives_posteriors(self) -> bool:
        """Whether the outputs are posteriors: from 0 to 1, with the sum 1."""

    @property
    def width(self) -> int:
        """Number of outputs for each view."""

    def __call__(self, views: tf.Tensor) -> np.ndarray:
        """Computes the outputs of the views that `view_batches` yields: (B, ...) -> (B, width) float32.

        Raises:
            RefusedView: the model refuses one of them.
        """


class RefusedView(Exception):
    """Error that a model refuses a view.

    Args:
        place: its place in the batch.
        why: why, in words.
    """

    def __init__(self, place: int, why: str):
        super().__init__(why)
        self.place = place


@dataclasses.dataclass(frozen=True)
class Pass:
    """A pass over the images of a split.

    Attributes:
        name: name of the pass, a part of the name of its file of posteriors.
        side: test scale Q in pixels; 0 where the model itself looks at all of its scales.
        spec: the views that are shown.
        predict: function that computes their posteriors.
    """

    name: str
    side: int
    spec: ViewSpec
    predict: PosteriorFunction


class ExternalModel(Protocol):
    """A model with posteriors of its own making; what it has in common with `EvaluatedModel` means the same."""

    @property
    def path(self) -> Path:
        """The file or the folder of the model."""

    @property
    def trained(self) -> TrainedNet:
        """Its net, training scale and form."""

    @property
    def test_scales(self) -> tuple[int, ...]:
        """Test scales Q in pixels."""

    @property
    def input_size(self) -> int:
        """Side of its crops in pixels."""

    def identity(self) -> dict:
        """Returns a JSON-ready description of everything in the model that a result depends on."""

    def passes(self, method: str, protocol: TestProtocol, batch_size: int) -> Iterator[Pass]:
        """Yields the passes whose posteriors are averaged.

        Args:
            method: one of `protocol.base_methods()`.
            protocol: the way in which the model is tested.
            batch_size: number of crops in a batch.
        """
