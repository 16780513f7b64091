"""Training and evaluation steps, the same on one device, several, or several machines (arXiv:1409.1556, sect. 3.3)."""

import functools
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.training import forward, freezing
from vgg_keras.training.keras_metrics import ValidationMetrics
from vgg_keras.training.optimizers import Optimizers
from vgg_keras.utils.metrics import Score, score_sums


class Steps:
    """Compiled steps of one model under one strategy.

    A step computes what one device would compute with the whole batch: the cross-entropy is summed and divided by the
    batch of all replicas, the penalty is divided by their number, and the gradients are summed.

    Args:
        model: a net of `architectures.build`, made in the strategy's scope.
        optimizers: of the layers that are trained, made in the strategy's scope.
        strategy: the strategy.
        batch_size: of all replicas together; a multiple of their number.
        micro_batch_size: how many images a replica puts through the net at a time; the gradients of the parts are added
            up, which needs less memory and changes nothing but the rounding (batch normalisation sees only the part).
        seed: of the dropout.
        frozen_up_to: name of the last layer that is not trained; "": all are. What is frozen works as in evaluation.
        cached: whether the batches hold the outputs of that layer, of `frozen_outputs`, in place of images.
        jit: whether XLA compiles the gradients.
        metrics: further metrics of what is evaluated; of this process's images.

    Attributes:
        evaluation_batch_size: images that all replicas together should evaluate at a time.

    Raises:
        ValueError: the batch does not divide by the number of replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizers: Optimizers,
        strategy: tf.distribute.Strategy,
        *,
        batch_size: int,
        micro_batch_size: int,
        seed: int,
        frozen_up_to: str = "",
        cached: bool = False,
        jit: bool = False,
        metrics: ValidationMetrics | None = None,
    ):
        self.metrics = metrics or ValidationMetrics({})
        self._replicas = strategy.num_replicas_in_sync
        if batch_size % self._replicas:
            raise ValueError(f"batch_size must be a multiple of the {self._replicas} replicas, received {batch_size}")
        self.model, self.optimizers, self.strategy = model, optimizers, strategy
        self.batch_size, self._seed = batch_size, seed
        self._num_parts = num_parts(batch_size // self._replicas, micro_batch_size)
        # What fits in training fits in evaluation.
        self.evaluation_batch_size = batch_size // self._num_parts
        self._gradients = tf.function(self._replica_gradients, jit_compile=jit)
        self._layers = freezing.trained_layers(model, frozen_up_to)
        self._variables = [variable for layer in self._layers for variable in layer.trainable_variables]
        self._frozen = freezing.frozen_part(model, frozen_up_to) if frozen_up_to else None
        self._cached = cached
        self._scores = freezing.score_function(model, frozen_up_to if cached else "")

    def train(self, batch, global_step: int) -> tf.Tensor:
        """Does one step; returns the (4,) sums of `score_sums` over the batch of all replicas."""
        seed = tf.constant([self._seed, global_step], tf.int64)
        return self._train(batch, seed)

    @tf.function
    def _train(self, batch, seed: tf.Tensor) -> tf.Tensor:
        sums = self.strategy.run(self._replica_train, args=(batch, seed))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _replica_train(self, batch: dict, seed: tf.Tensor) -> tf.Tensor:
        masks = forward.dropout_masks(self._layers, batch["row"], self.batch_size, seed)
        sums, gradients = self._gradients({"image": batch["image"], "label": batch["label"], "masks": masks})
        self.optimizers.apply(gradients, self._variables)
        return sums

    def _replica_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sums, gradients = self._data_gradients(batch)
        decays = self._penalty_gradients()
        return sums, [data if decay is None else data + decay for data, decay in zip(gradients, decays, strict=True)]

    def _penalty_gradients(self) -> list[tf.Tensor | None]:
        with tf.GradientTape() as tape:
            losses = [loss for layer in self._layers for loss in layer.losses]
            penalty = self.optimizers.scale_loss(tf.add_n(losses) / self._replicas) if losses else tf.zeros(())
        return tape.gradient(penalty, self._variables)  # None for biases

    def _data_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        if self._num_parts == 1:
            return self._part_gradients(batch)
        size = self.batch_size // self._replicas // self._num_parts
        sums = tf.zeros((4,), tf.float64)
        gradients = [tf.zeros(variable.shape, variable.dtype) for variable in self._variables]
        for index in tf.range(self._num_parts):
            # One part after the other: that is what saves the memory.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            part = tf.nest.map_structure(functools.partial(_rows, start=index * size, count=size), batch)
            part_sums, part_gradients = self._part_gradients(part)
            sums += part_sums
            gradients = [total + part for total, part in zip(gradients, part_gradients, strict=True)]
        return sums, gradients

    def _part_gradients(self, part: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        inputs = part["image"] if self._cached or not self._frozen else self._frozen(part["image"], training=False)
        with tf.GradientTape() as tape:
            scores = forward.training_scores(self._layers, inputs, part["masks"])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(part["label"], scores)
            loss = self.optimizers.scale_loss(tf.reduce_sum(losses) / self.batch_size)
        sums = score_sums(scores, part["label"], tf.ones_like(losses))
        return sums, tape.gradient(loss, self._variables)

    def frozen_outputs(self, batch) -> np.ndarray:
        """Returns what the frozen layers give for the images of a batch: (B, ...) float32, in the batch's order."""
        return self.gathered(self._frozen_outputs(batch["image"]))

    def gathered(self, values) -> np.ndarray:
        """Joins what the replicas of this process hold."""
        return np.concatenate([part.numpy() for part in self.strategy.experimental_local_results(values)])

    def frozen_shape(self, side: int) -> tuple[int, ...]:
        """Returns the shape of the frozen layers' outputs of one image of side by side pixels."""
        return tuple(self._frozen.compute_output_shape((1, side, side, 3))[1:])

    @tf.function
    def _frozen_outputs(self, images):
        return self.strategy.run(self._replica_frozen_outputs, args=(images,))

    def _replica_frozen_outputs(self, images: tf.Tensor) -> tf.Tensor:
        def outputs_of(part: tf.Tensor) -> tf.Tensor:
            return tf.cast(self._frozen(part, training=False), tf.float32)

        parts = tf.reshape(images, (-1, self.evaluation_batch_size // self._replicas, *images.shape[1:]))
        outputs = tf.map_fn(outputs_of, parts, parallel_iterations=1)
        return tf.reshape(outputs, (-1, *outputs.shape[2:]))

    @tf.function
    def _evaluate(self, batch) -> tuple[tf.Tensor, tf.Tensor]:
        def replica(batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
            scores = self._scores(batch["image"], training=False)
            return score_sums(scores, batch["label"], batch["weight"]), scores

        sums, scores = self.strategy.run(replica, args=(batch,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None), scores

    def evaluate(self, batches: Iterable) -> Score:
        """Returns the score of all images in the batches, and lets the metrics see them; padding does not count."""
        total = np.zeros(4)
        self.metrics.reset()
        for batch in batches:
            sums, scores = self._evaluate(batch)
            total += sums.numpy()
            if self.metrics:
                counts = self.gathered(batch["weight"]) > 0
                self.metrics.update(self.gathered(batch["label"])[counts], self.gathered(scores)[counts])
        return Score.from_sums(total)


def _rows(values: tf.Tensor, start: tf.Tensor, count: int) -> tf.Tensor:
    return values[start : start + count]


def num_parts(per_replica: int, micro_batch_size: int) -> int:
    """Returns in how many equal parts of at most `micro_batch_size` images a replica's batch is computed."""
    return next(
        parts
        for parts in range(1, per_replica + 1)
        if per_replica % parts == 0 and per_replica // parts <= micro_batch_size
    )
