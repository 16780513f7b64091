"""Computes posteriors of views, on all devices of a strategy (arXiv:1409.1556, sect. 3.2)."""

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.inference.protocol import POSTERIORS, SCORES
from vgg_keras.utils.arithmetic import ceil_divide

# A third kind of average, for maps of descriptors: they are not class scores, so they get no softmax.
VALUES = "values"
# A smaller posterior is zero in float32, and its logarithm would be infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)


def average_score_map(score_map: tf.Tensor, average: str) -> tf.Tensor:
    """Averages a map over its positions: (B, h, w, C) -> (B, C) float32.

    Args:
        score_map: output of a fully convolutional net, logits, or descriptors with VALUES.
        average: SCORES: the softmax of the mean scores; POSTERIORS: the mean of the positions' softmaxes; VALUES: the
            mean of the values.
    """
    score_map = tf.cast(score_map, tf.float32)
    if average == VALUES:
        return tf.reduce_mean(score_map, axis=(1, 2))
    if average == POSTERIORS:
        return tf.reduce_mean(tf.nn.softmax(score_map), axis=(1, 2))
    return tf.nn.softmax(tf.reduce_mean(score_map, axis=(1, 2)))


def temper(posteriors: tf.Tensor, temperature: float) -> tf.Tensor:
    """Scales posteriors by a temperature (arXiv:1706.04599, sect. 4.2): (B, classes) -> (B, classes), the same dtype.

    The logarithms of posteriors are their class scores, but for a constant that a softmax ignores, so that of one view
    this is `softmax(scores / temperature)`. It keeps the order of the classes, also of posteriors that are averaged
    over several views.

    Args:
        posteriors: 0..1.
        temperature: above 0; 1 changes nothing, more makes the posteriors less confident.
    """
    if temperature == 1:
        return posteriors
    return tf.nn.softmax(tf.math.log(tf.maximum(posteriors, _SMALLEST)) / temperature)


def predict_views(net: keras.Model, views: tf.Tensor, *, average: str, flip: bool) -> tf.Tensor:
    """Computes the posteriors of views: (B, H, W, 3) float32, RGB 0..255 -> (B, classes) float32.

    Args:
        net: net from views to posteriors (B, classes), or to a map (B, h, w, C).
        views: batch of views of equal size.
        average: what `average_score_map` averages, if the net outputs a map.
        flip: whether each view is averaged with its mirror image.
    """

    def predict(seen: tf.Tensor) -> tf.Tensor:
        # A net for crops needs their static size: without it Flatten fails in Keras 3.10.
        outputs = net(tf.ensure_shape(seen, net.input_shape), training=False)
        return outputs if len(outputs.shape) == 2 else average_score_map(outputs, average)

    return (predict(views) + predict(tf.reverse(views, axis=[2]))) / 2 if flip else predict(views)


class DistributedPredictor:
    """Computes the posteriors of batches of views, shared out over the devices of a strategy.

    Args:
        net: net from images (B, H, W, 3) to posteriors (B, classes), or a fully convolutional net (result of
            `fully_convolutional.convert`) to class-score maps (B, h, w, classes); made in the strategy's scope.
        strategy: the devices.
        average: what `average_score_map` averages, if the net outputs a map.
        flip: whether each view is averaged with its mirror image.
    """

    def __init__(self, net: keras.Model, strategy: tf.distribute.Strategy, *, average: str = SCORES, flip: bool = True):
        self._net, self._strategy = net, strategy
        self._average, self._flip = average, flip
        self._replicas = strategy.num_replicas_in_sync
        # Traced here, and not when it is called first: TensorFlow would take the first calls of several predictors for
        # those of one function that is traced again and again, and warn of it.
        self._predict_parts.get_concrete_function()

    @property
    def gives_posteriors(self) -> bool:
        """Whether the outputs are posteriors: from 0 to 1, with the sum 1."""
        return self._average != VALUES

    @property
    def width(self) -> int:
        """Number of outputs for each view."""
        return self._net.output_shape[-1]

    def __call__(self, views: tf.Tensor) -> np.ndarray:
        """Computes posteriors: (B, H, W, 3) float32, RGB 0..255 -> (B, classes) float32."""
        count = views.shape[0]
        per_replica = ceil_divide(count, self._replicas)
        # The padding of the last replica's part is dropped again, so every view counts once.
        padding = per_replica * self._replicas - count
        views = tf.pad(views, [[0, padding], [0, 0], [0, 0], [0, 0]])
        parts = tf.reshape(views, (self._replicas, per_replica, *views.shape[1:]))
        return self._predict_parts(parts).numpy()[:count]

    # One trace serves all image shapes: a real data set has hundreds.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None, None, None, 3), tf.float32)])
    def _predict_parts(self, parts: tf.Tensor) -> tf.Tensor:
        part = self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        outputs = self._strategy.run(self._predict_part, args=(part,))
        return tf.concat(self._strategy.experimental_local_results(outputs), axis=0)

    def _predict_part(self, views: tf.Tensor) -> tf.Tensor:
        return predict_views(self._net, views, average=self._average, flip=self._flip)
