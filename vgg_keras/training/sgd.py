"""Updates weights and momentum in one pass over the memory, with the bits of Keras's own SGD."""

import keras
import tensorflow as tf

from vgg_keras.utils import keras_compat


class OnePassSGD(keras.optimizers.SGD):
    """Keras's SGD, whose momentum is updated together with the weights: m <- momentum * m - rate * g; w <- w + m.

    Keras computes each product, the difference and the sum by an operation of its own, each of which reads and writes
    as many numbers as the net has weights. Without momentum, or with Nesterov's, it is Keras's own.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, *rate: tf.Tensor) -> None:
        """Updates one variable.

        Args:
            gradient: its gradient.
            variable: the variable.
            rate: the learning rate, which Keras 2 does not give.
        """
        if not self.momentum or self.nesterov:
            super().update_step(gradient, variable, *rate)
            return
        (learning_rate,) = rate or (self.learning_rate,)
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=keras_compat.momentum_of(self, variable).handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )
