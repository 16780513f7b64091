"""The training pass of a net, with dropout that depends on the seed and the image's place in the batch alone.

Keras's own dropout counts its calls in each replica, so that its masks would depend on the number of devices and on how
often a run was interrupted. The nets are chains, so their layers can be applied one by one and dropout done here.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


def dropout_masks(
    layers: Sequence[keras.layers.Layer], rows: tf.Tensor, batch_size: int, seed: tf.Tensor
) -> list[tf.Tensor]:
    """Draws which features each dropout layer keeps (arXiv:1409.1556, sect. 3.1).

    Call it outside of what XLA compiles, which has random numbers of its own.

    Args:
        layers: those of a net of `architectures.build`, or the last ones of it.
        rows: (b,) int32, the images' places in the batch of all replicas.
        batch_size: number of images in the batch of all replicas.
        seed: (2,) int64, new at each step.

    Returns:
        For each dropout layer (b, width) bool, true where a feature is kept.
    """
    masks = []
    for index, layer in enumerate(_dropout_layers(layers)):
        layer_seed = tf.random.experimental.stateless_fold_in(seed, index)
        # Every replica draws the whole batch's numbers and takes its rows: philox is the same on all devices.
        numbers = tf.random.stateless_uniform((batch_size, layer.input.shape[-1]), layer_seed, alg="philox")
        masks.append(tf.gather(numbers, rows) >= layer.rate)
    return masks


def training_scores(layers: Sequence[keras.layers.Layer], inputs: tf.Tensor, masks: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes the class scores of a net in training.

    Args:
        layers: those of a net of `architectures.build`, or the last ones of it.
        inputs: what the first of them takes, this replica's part of the batch: (b, S, S, 3) float32, RGB 0..255.
        masks: what `dropout_masks` returns for them.

    Returns:
        (b, classes) float32, logits.
    """
    outputs = inputs
    masks = iter(masks)
    for layer in layers:
        if isinstance(layer, keras.layers.Dropout):
            outputs = tf.where(next(masks), outputs / (1.0 - layer.rate), tf.zeros_like(outputs))
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Softmax)):
            outputs = layer(outputs, training=True)
    return outputs


def _dropout_layers(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Dropout]:
    return [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
