"""Defines the layers that Keras lacks."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("vgg_keras")
class LocalResponseNormalization(keras.layers.Layer):
    """Krizhevsky's local response normalization, across channels, for net A-LRN (arXiv:1409.1556, sect. 2.1, Table 1).

    y[c] = x[c] / (bias + alpha * sum over |d - c| <= depth_radius of x[d]^2) ^ beta

    Input and output: (B, H, W, C), float. Alpha is not divided by the window's size (Caffe divides it).

    Args:
        depth_radius: number of channels on each side of a channel that are summed; 2 is Krizhevsky's n = 5.
        bias: Krizhevsky's k.
        alpha: factor of the sum of squares.
        beta: exponent.
        **kwargs: arguments of `keras.layers.Layer`, such as `name`.
    """

    def __init__(self, depth_radius: int = 2, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75, **kwargs):
        super().__init__(**kwargs)
        self.parameters = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalizes (B, H, W, C); computes in float32, because the CPU has no kernel for half precision."""
        return tf.cast(tf.nn.local_response_normalization(tf.cast(inputs, tf.float32), **self.parameters), inputs.dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Returns the input's shape, which the output has too."""
        return input_shape

    def get_config(self) -> dict:
        """Returns the constructor's arguments, JSON-ready, for `from_config`."""
        return {**super().get_config(), **self.parameters}
