"""Training and evaluation steps, the same on one device, several, or several machines (arXiv:1409.1556, sect. 3.3)."""

import functools
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from vgg_keras import forward
from vgg_keras.scoring import Score, score_sums


class Steps:
    """Compiled steps of one model under one strategy.

    A step computes what one device would compute with the whole batch: the cross-entropy is summed and divided by the
    batch of all replicas, the penalty is divided by their number, and the gradients are summed.

    Args:
        model: a net of `architectures.build`, made in the strategy's scope.
        optimizer: the optimizer, made in the strategy's scope.
        strategy: the strategy.
        batch_size: of all replicas together; a multiple of their number.
        micro_batch_size: how many images a replica puts through the net at a time; the gradients of the parts are added
            up, which needs less memory and changes nothing but the rounding (batch normalisation sees only the part).
        seed: of the dropout.
        jit: whether XLA compiles the gradients.

    Attributes:
        evaluation_batch_size: images that all replicas together should evaluate at a time.

    Raises:
        ValueError: the batch does not divide by the number of replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        *,
        batch_size: int,
        micro_batch_size: int,
        seed: int,
        jit: bool = False,
    ):
        self._replicas = strategy.num_replicas_in_sync
        if batch_size % self._replicas:
            raise ValueError(f"batch_size must be a multiple of the {self._replicas} replicas, received {batch_size}")
        self.model, self.optimizer, self.strategy = model, optimizer, strategy
        self.batch_size, self._seed = batch_size, seed
        self._num_parts = num_parts(batch_size // self._replicas, micro_batch_size)
        # What fits in training fits in evaluation.
        self.evaluation_batch_size = batch_size // self._num_parts
        self._gradients = tf.function(self._replica_gradients, jit_compile=jit)
        self._scores = keras.Model(model.input, model.get_layer("fc8").output)

    def train(self, batch, global_step: int) -> tf.Tensor:
        """Does one step; returns the (4,) sums of `score_sums` over the batch of all replicas."""
        seed = tf.constant([self._seed, global_step], tf.int64)
        return self._train(batch, seed)

    @tf.function
    def _train(self, batch, seed: tf.Tensor) -> tf.Tensor:
        sums = self.strategy.run(self._replica_train, args=(batch, seed))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _replica_train(self, batch: dict, seed: tf.Tensor) -> tf.Tensor:
        masks = forward.dropout_masks(self.model, batch["row"], self.batch_size, seed)
        sums, gradients = self._gradients({"image": batch["image"], "label": batch["label"], "masks": masks})
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return sums

    def _replica_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sums, gradients = self._data_gradients(batch)
        if not self.model.losses:
            return sums, gradients
        with tf.GradientTape() as tape:
            penalty = self._scaled(tf.add_n(self.model.losses) / self._replicas)
        penalties = tape.gradient(penalty, self.model.trainable_variables)  # None for biases
        return sums, [data if decay is None else data + decay for data, decay in zip(gradients, penalties, strict=True)]

    def _data_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        if self._num_parts == 1:
            return self._part_gradients(batch)
        size = self.batch_size // self._replicas // self._num_parts
        sums = tf.zeros((4,), tf.float64)
        gradients = [tf.zeros(variable.shape, variable.dtype) for variable in self.model.trainable_variables]
        for index in tf.range(self._num_parts):
            # One part after the other: that is what saves the memory.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            part = tf.nest.map_structure(functools.partial(_rows, start=index * size, count=size), batch)
            part_sums, part_gradients = self._part_gradients(part)
            sums += part_sums
            gradients = [total + part for total, part in zip(gradients, part_gradients, strict=True)]
        return sums, gradients

    def _part_gradients(self, part: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            scores = forward.training_scores(self.model, part["image"], part["masks"])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(part["label"], scores)
            loss = self._scaled(tf.reduce_sum(losses) / self.batch_size)
        sums = score_sums(scores, part["label"], tf.ones_like(losses))
        return sums, tape.gradient(loss, self.model.trainable_variables)

    def _scaled(self, loss: tf.Tensor) -> tf.Tensor:
        # Only mixed_float16 scales; the optimizer divides the gradients again.
        return self.optimizer.scale_loss(loss)

    @tf.function
    def _evaluate(self, batch) -> tf.Tensor:
        def replica(batch: dict) -> tf.Tensor:
            return score_sums(self._scores(batch["image"], training=False), batch["label"], batch["weight"])

        sums = self.strategy.run(replica, args=(batch,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def evaluate(self, batches: Iterable) -> Score:
        """Returns the score of all images in the batches; padding does not count."""
        sums = np.zeros(4)
        for batch in batches:
            sums += self._evaluate(batch).numpy()
        return Score.from_sums(sums)


def _rows(values: tf.Tensor, start: tf.Tensor, count: int) -> tf.Tensor:
    return values[start : start + count]


def num_parts(per_replica: int, micro_batch_size: int) -> int:
    """Returns in how many equal parts of at most `micro_batch_size` images a replica's batch is computed."""
    return next(
        parts
        for parts in range(1, per_replica + 1)
        if per_replica % parts == 0 and per_replica // parts <= micro_batch_size
    )


def make_optimizer(
    name: str, learning_rate: float, momentum: float, variables: list, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """Makes an optimizer, ready for a checkpoint; call in the strategy's scope.

    Args:
        name: "sgd" (with momentum: arXiv:1409.1556, sect. 3.1), or a class that `keras.optimizers.get` knows, such as
            "adam".
        learning_rate: the initial rate.
        momentum: of "sgd".
        variables: the model's trainable variables.
        precision: the dtype policy; "mixed_float16" needs the loss scaled.

    Raises:
        ValueError: there is no such optimizer.
    """
    if name == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
    else:
        optimizer = keras.optimizers.get({"class_name": name, "config": {"learning_rate": learning_rate}})
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer
