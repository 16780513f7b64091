"""Views -> softmax posteriors of each image, on all devices, kept on disk as they come (arXiv:1409.1556, sect. 3.2)."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.training.checkpoints import write_atomically
from vgg_keras.utils.cli import UserError

# What is averaged over a class-score map.
SCORES, POSTERIORS = "scores", "posteriors"
AVERAGES = (SCORES, POSTERIORS)
# Of a map of descriptors: the values themselves.
VALUES = "values"
_INFO_KEYS = {"model", "images", "flip", "average", "seconds"}


def of_map(outputs: tf.Tensor, average: str) -> tf.Tensor:
    """Averages a map over its positions: (B, h, w, C) -> (B, C) float32.

    Args:
        outputs: of a fully convolutional net.
        average: SCORES: the softmax of the mean scores; POSTERIORS: the mean of the positions' softmaxes; VALUES: the
            mean, for maps that are no scores.
    """
    outputs = tf.cast(outputs, tf.float32)
    if average == VALUES:
        return tf.reduce_mean(outputs, axis=(1, 2))
    if average == POSTERIORS:
        return tf.reduce_mean(tf.nn.softmax(outputs), axis=(1, 2))
    return tf.nn.softmax(tf.reduce_mean(outputs, axis=(1, 2)))


def of_views(model: keras.Model, images: tf.Tensor, *, average: str, flip: bool) -> tf.Tensor:
    """Computes what a net says of views: (B, H, W, 3) float32, RGB 0..255 -> (B, C) float32.

    Args:
        model: to posteriors (B, classes), or to a map (B, h, w, C).
        images: the views.
        average: of a map, as `of_map` has it.
        flip: whether each view is averaged with its mirror image.
    """

    def once(seen: tf.Tensor) -> tf.Tensor:
        # A net of crops has to know their size: Keras 3.10's Flatten fails without.
        outputs = model(tf.ensure_shape(seen, model.input_shape), training=False)
        return outputs if len(outputs.shape) == 2 else of_map(outputs, average)

    return (once(images) + once(tf.reverse(images, axis=[2]))) / 2 if flip else once(images)


class PosteriorFunction:
    """A net as a function from views to posteriors, spread over the devices of a strategy.

    Args:
        model: from images (B, H, W, 3) to posteriors (B, classes), or a fully convolutional one (of
            `fully_convolutional.convert`) to class-score maps (B, h, w, classes); made in the strategy's scope.
        strategy: the strategy.
        average: of a map, as `of_map` has it.
        flip: whether each view is averaged with its mirror image.
    """

    def __init__(
        self, model: keras.Model, strategy: tf.distribute.Strategy, *, average: str = SCORES, flip: bool = True
    ):
        self._model, self._strategy = model, strategy
        self._average, self._flip = average, flip
        self._replicas = strategy.num_replicas_in_sync

    @property
    def gives_posteriors(self) -> bool:
        """Whether what it returns should be numbers from 0 to 1 with the sum 1."""
        return self._average != VALUES

    @property
    def width(self) -> int:
        """How many numbers it returns for an image."""
        return self._model.output_shape[-1]

    def __call__(self, images: tf.Tensor) -> np.ndarray:
        """Computes posteriors: (B, H, W, 3) float32, RGB 0..255 -> (B, classes) float32."""
        count = images.shape[0]
        per_replica = -(-count // self._replicas)
        # What fills the last replica's part up is dropped again: every image counts once.
        padding = per_replica * self._replicas - count
        images = tf.pad(images, [[0, padding], [0, 0], [0, 0], [0, 0]])
        parts = tf.reshape(images, (self._replicas, per_replica, *images.shape[1:]))
        return self._of_parts(parts).numpy()[:count]

    # One trace for all shapes: a real set has hundreds.
    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None, 3), tf.float32)])
    def _of_parts(self, parts: tf.Tensor) -> tf.Tensor:
        part = self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        outputs = self._strategy.run(self._of_replica, args=(part,))
        return tf.concat(self._strategy.experimental_local_results(outputs), axis=0)

    def _of_replica(self, images: tf.Tensor) -> tf.Tensor:
        return of_views(self._model, images, average=self._average, flip=self._flip)


@dataclasses.dataclass(frozen=True)
class SavedPosteriors:
    """The posteriors of one model on a split, to be fused later without running the net again.

    Attributes:
        by_method: for each method (`paper.METHODS` without "both") (N, classes) float32, averaged over the test scales.
        labels: (N,) int32.
        info: what they are of: the model, the data and the settings, as JSON has it.
    """

    by_method: Mapping[str, np.ndarray]
    labels: np.ndarray
    info: Mapping[str, object]

    def save(self, path: Path) -> None:
        """Writes a `.npz` file, complete or not at all."""
        arrays = {"labels": self.labels, "info": np.array(json.dumps(self.info)), **self.by_method}
        write_atomically(path, lambda temporary: np.savez(temporary, **arrays))

    @classmethod
    def load(cls, path: Path) -> "SavedPosteriors":
        """Reads a file that `save` wrote.

        Raises:
            UserError: it is missing or of another kind.
        """
        try:
            with np.load(path) as arrays:
                content = dict(arrays)
            info = json.loads(str(content.pop("info")))
            if set(info) != _INFO_KEYS:
                raise UserError(f"{path} was written by another version: it tells {', '.join(info)}")
            return cls(labels=content.pop("labels"), info=info, by_method=content)
        except UserError:
            raise
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing; evaluate --save_posteriors writes such files") from error
        except Exception as error:  # whatever zip, NumPy and JSON raise
            raise UserError(f"{path} does not hold posteriors of an evaluation: {error}") from error
