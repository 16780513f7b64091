"""Updates weights and what an optimizer remembers of their gradients in one pass over the memory.

Keras computes each product, difference and sum by an operation of its own, each of which reads and writes as many
numbers as the net has weights: 119 million in the FC layers of net D.
"""

import keras
import tensorflow as tf

from vgg_keras.utils import keras_compat


class OnePassSGD(keras.optimizers.SGD):
    """Keras's SGD, to the bit: momentum m <- momentum * m - rate * g, weights w <- w + m.

    Without momentum, or with Nesterov's, it is Keras's own.
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
            accum=keras_compat.slot(self, self.momentums, variable).handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )


class OnePassAdam(keras.optimizers.Adam):
    """Keras's Adam (arXiv:1412.6980, algorithm 1, with the order of its section 2).

    The first step is the same; later ones differ by less than 1e-5 of their length, since 1 - beta is that of float32.
    With `amsgrad` it is Keras's own.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, *rate: tf.Tensor) -> None:
        """Updates one variable.

        Args:
            gradient: its gradient.
            variable: the variable.
            rate: the learning rate, which Keras 2 does not give.
        """
        if self.amsgrad:
            super().update_step(gradient, variable, *rate)
            return
        (learning_rate,) = rate or (self.learning_rate,)
        step = tf.cast(self.iterations + 1, variable.dtype)
        betas = [tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2)]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=keras_compat.slot(self, self._momentums, variable).handle,
            v=keras_compat.slot(self, self._velocities, variable).handle,
            beta1_power=betas[0] ** step,
            beta2_power=betas[1] ** step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=betas[0],
            beta2=betas[1],
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )
