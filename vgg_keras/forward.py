"""The training pass of a net: class scores with dropout that depends on the image's place in the batch alone."""

import keras
import tensorflow as tf


def training_scores(
    model: keras.Model, images: tf.Tensor, rows: tf.Tensor, batch_size: int, seed: tf.Tensor
) -> tf.Tensor:
    """Computes the class scores of a net in training.

    The net is a chain, so its layers are applied one by one, and dropout is done here: Keras's own layer counts its
    calls in each replica, so that masks would depend on the number of devices and on how often a run was interrupted.
    Here a mask is a function of the seed and of the image's row in the batch of all replicas.

    Args:
        model: a net of `architectures.build`.
        images: (b, S, S, 3) float32, RGB 0..255, this replica's part of the batch.
        rows: (b,) int32, the images' places in the batch of all replicas.
        batch_size: number of images in the batch of all replicas.
        seed: (2,) int32 or int64, new at each step.

    Returns:
        (b, classes) float32, logits.
    """
    outputs = images
    num_dropouts = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer_seed = tf.random.experimental.stateless_fold_in(seed, num_dropouts)
            outputs = _dropout(outputs, layer.rate, rows, batch_size, layer_seed)
            num_dropouts += 1
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Softmax)):
            outputs = layer(outputs, training=True)
    return outputs


def _dropout(inputs: tf.Tensor, rate: float, rows: tf.Tensor, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Sets elements of (b, width) to zero with probability `rate` and scales the others by 1 / (1 - rate)."""
    if not rate:
        return inputs
    # Every replica draws the whole batch's numbers and takes its rows: the philox generator is the same on all devices.
    numbers = tf.random.stateless_uniform((batch_size, inputs.shape[-1]), seed, alg="philox")
    kept = tf.gather(numbers, rows) >= rate
    return tf.where(kept, inputs / (1.0 - rate), tf.zeros_like(inputs))
