"""Computes training and evaluation steps, the same on one device, several, or several machines.

A step computes what one device would compute with the whole batch (arXiv:1409.1556, sect. 3.3): the cross-entropy is
summed and divided by the batch of all replicas, the penalty is divided by their number, and the gradients are summed.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import device_augmentation
from vgg_keras.models import class_outputs, saving
from vgg_keras.training import all_reduce, freezing
from vgg_keras.training.keras_metrics import ValidationMetrics
from vgg_keras.training.objectives import Classification, Objective
from vgg_keras.training.optimizers import Optimizers
from vgg_keras.utils import console, keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.metrics import Score


@dataclasses.dataclass(frozen=True)
class StepConfig:
    """Settings of a step.

    Attributes:
        batch_size: number of images in the batch of all replicas together; a multiple of their number.
        micro_batch_size: largest number of images that a replica puts through the net at a time; the gradients of the
            parts are added up, which needs less memory and changes nothing but the rounding (batch normalization sees
            only the part).
        halve_if_needed: whether a device that runs out of memory is given smaller parts; not in a cluster, whose
            workers would differ.
        seed: dropout seed.
        frozen_up_to: name of the last layer that is not trained; "" trains all layers. Frozen layers work as in
            evaluation.
        cached: whether the batches hold the outputs of that layer, computed by `frozen_outputs`, instead of images.
        jit: whether XLA compiles the gradients.
        in_cluster: whether other processes take part, which have to stop at the same step as this one.
        all_reduce: dtype in which several devices send each other their gradients: "float32" or "bfloat16".
    """

    batch_size: int
    micro_batch_size: int
    seed: int
    halve_if_needed: bool = False
    frozen_up_to: str = ""
    cached: bool = False
    jit: bool = False
    in_cluster: bool = False
    all_reduce: str = "float32"


class TrainStep:
    """The compiled steps of one model under one strategy.

    Args:
        model: a net of `vgg.build`, made in the strategy's scope.
        optimizers: optimizers of the trained layers, made in the strategy's scope.
        strategy: the devices.
        config: the settings.
        metrics: further metrics of the images that are evaluated; they see this process's images only.
        objective: what the net learns; None: the classes.

    Attributes:

    Raises:
        ValueError: the batch does not divide by the number of replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizers: Optimizers,
        strategy: tf.distribute.Strategy,
        config: StepConfig,
        metrics: ValidationMetrics | None = None,
        objective: Objective | None = None,
    ):
        self._replicas = strategy.num_replicas_in_sync
        if config.batch_size % self._replicas:
            below = config.batch_size - config.batch_size % self._replicas
            fitting = " or ".join(str(size) for size in (below, below + self._replicas) if size)
            raise ValueError(
                f"--batch_size={config.batch_size} cannot be shared out equally over {self._replicas} devices; "
                f"give {fitting}"
            )
        self.model, self.optimizers, self.strategy = model, optimizers, strategy
        self.metrics = metrics or ValidationMetrics({})
        self.objective = objective or Classification(model.output_shape[-1])
        self.batch_size, self._config = config.batch_size, config
        self._num_parts = num_parts(config.batch_size // self._replicas, config.micro_batch_size)
        self._layers = freezing.trained_layers(model, config.frozen_up_to)
        self._variables = [variable for layer in self._layers for variable in layer.trainable_variables]
        self._decays = [decay for layer in self._layers for decay in weight_decays(layer)]
        self._frozen: Any = freezing.frozen_net(model, config.frozen_up_to) if config.frozen_up_to else None
        self._outputs = freezing.output_net(model, config.frozen_up_to if config.cached else "")
        self._compile()

    def _compile(self) -> None:
        """Makes the functions of a step, whose traces hold the number of parts."""
        self._train = tf.function(self._step, autograph=False)
        self._gradients = tf.function(self._replica_gradients, autograph=False, jit_compile=self._config.jit)

    @property
    def evaluation_batch_size(self) -> int:
        """Number of images that all replicas together should evaluate at a time."""
        # Evaluation needs no more memory than training: the same number of images fits.
        return self.batch_size // self._num_parts

    @property
    def takes_images(self) -> bool:
        """Whether the batches hold images, and not the outputs of frozen layers."""
        return not self._config.cached

    @property
    def in_cluster(self) -> bool:
        """Whether other processes take part, which have to stop at the same step as this one."""
        return self._config.in_cluster

    def best_model(self, weights: Sequence[np.ndarray]) -> keras.Model:
        """Returns a copy of the model as it is validated, in float32 and without outputs that are of no class.

        It does not change as the training goes on, and lies in the memory of the host.

        Args:
            weights: weights of the model, as `get_weights` returns them. With variables that are averaged as they are
                read, all workers of a cluster have to read them.
        """
        with tf.device("CPU:0"):
            return class_outputs.keep_first(saving.float32_copy(self.model, weights), self.objective.tested_outputs)

    def train(self, batch, global_step: int, stop_asked: bool = False) -> tf.Tensor:
        """Does one step; returns the (4,) sums of `score_sums` over the batch of all replicas.

        In a cluster the result is (5,): the last element is above 0, on all workers alike, if a worker was asked to
        stop. Workers that read it after the same step can stop after the same step, and no message is sent for it.

        Args:
            batch: {"image": (B, S, S, 3) uint8 with what `device_augmentation.augment` is to do, or float32 0..255, or
                the frozen layers' outputs; "label": (B,) int32; "row": (B,) int32, the image's row in the batch of all
                replicas; what else the objective needs}, distributed over the replicas.
            global_step: number of steps done before this one.
            stop_asked: whether this process was asked to stop; counts in a cluster only.

        Raises:
            UserError: a device has too little memory for the parts of its batch.
        """
        seed = tf.constant([self._config.seed, global_step], tf.int64)
        further_sums = [tf.constant([float(stop_asked)], tf.float64)] if self._config.in_cluster else []
        try:
            return self._train(batch, seed, further_sums)
        except tf.errors.ResourceExhaustedError as error:
            # Memory runs out before the gradients are there: no weight has changed.
            self._take_smaller_parts(error)
        return self.train(batch, global_step, stop_asked)

    def _take_smaller_parts(self, error: tf.errors.ResourceExhaustedError) -> None:
        """Divides the batch of a replica into smaller parts for all further steps.

        Raises:
            UserError: the parts are a choice of the user, cannot become smaller, or are those of a cluster.
        """
        per_replica = self.batch_size // self._replicas
        size = per_replica // self._num_parts
        if size == 1:
            raise UserError("out of memory with a single image on a device; choose a smaller net or S") from error
        smaller = num_parts(per_replica, size // 2)
        shown = f"out of memory with {size} images on a device at a time"
        if not self._config.halve_if_needed or self.in_cluster:
            raise UserError(f"{shown}; give --micro_batch_size={per_replica // smaller}") from error
        console.say(f"{shown}; from now on with {per_replica // smaller} (--micro_batch_size)")
        self._num_parts = smaller
        self._compile()

    def _step(self, batch, seed: tf.Tensor, further_sums: list[tf.Tensor]) -> tf.Tensor:
        sums = self.strategy.run(self._replica_train, args=(batch, seed, further_sums))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    def _replica_train(self, batch: dict, seed: tf.Tensor, further_sums: list[tf.Tensor]) -> tf.Tensor:
        masks = dropout_masks(self._layers, batch["row"], self.batch_size, seed)
        inputs = {name: values for name, values in batch.items() if name != "row"}
        sums, gradients = self._gradients({**inputs, "masks": masks})
        gradients = all_reduce.sum_over_devices(gradients, self._config.all_reduce)
        self.optimizers.apply(gradients, self._variables)
        return tf.concat([sums, *further_sums], axis=0) if further_sums else sums

    def _replica_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sums, gradients = self._data_gradients(batch)
        # Of the L2 penalty only the gradient is needed, which each device adds a part of.
        scale = self.optimizers.scale_loss(tf.constant(1.0 / self._replicas))
        values = zip(gradients, self._variables, self._decays, strict=True)
        return sums, [
            gradient + (scale * decay) * keras_compat.tf_variable(variable) if decay else gradient
            for gradient, variable, decay in values
        ]

    def _data_gradients(self, batch: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        if self._num_parts == 1:
            return self._part_gradients(batch)
        size = self.batch_size // self._replicas // self._num_parts

        def add_part(index: tf.Tensor, totals: tuple) -> tuple:
            part = tf.nest.map_structure(functools.partial(_rows, start=index * size, count=size), batch)
            return index + 1, tf.nest.map_structure(tf.add, totals, self._part_gradients(part))

        nothing = [tf.zeros(variable.shape, variable.dtype) for variable in self._variables]
        _, totals = tf.while_loop(
            lambda index, _: index < self._num_parts,
            add_part,
            (tf.constant(0), (tf.zeros((4,), tf.float64), nothing)),
            parallel_iterations=1,  # parts that ran in parallel would need the memory of the whole batch
        )
        return totals

    def _part_gradients(self, part: dict) -> tuple[tf.Tensor, list[tf.Tensor]]:
        part = device_augmentation.augment(part)
        inputs = part["image"]
        if self._frozen and not self._config.cached:
            inputs = self._frozen(inputs, training=False)
        with tf.GradientTape() as tape:
            outputs = training_outputs(self._layers, inputs, part["masks"])
            losses = self.objective.losses(outputs, part)
            loss = self.optimizers.scale_loss(tf.reduce_sum(losses) / self.batch_size)
        sums = self.objective.sums(outputs, part, tf.ones_like(losses))
        return sums, tape.gradient(loss, self._variables)

    @tf.function(autograph=False)
    def shown(self, batch):
        """Returns a batch as the net sees it, with the augmentation that is left for the devices."""
        return self.strategy.run(device_augmentation.augment, args=(batch,))

    def frozen_outputs(self, batch) -> np.ndarray:
        """Computes the frozen layers' outputs for a batch that `shown` returned: (B, ...) float32, in its order."""
        return self.gather(self._frozen_outputs(batch["image"]))

    def gather(self, values) -> np.ndarray:
        """Joins the values that the replicas of this process hold."""
        return np.concatenate([part.numpy() for part in self.strategy.experimental_local_results(values)])

    def frozen_shape(self, side: int) -> tuple[int, ...]:
        """Returns the shape of the frozen layers' outputs for one image of side by side pixels."""
        return tuple(self._frozen.compute_output_shape((1, side, side, 3))[1:])

    @tf.function(autograph=False)
    def _frozen_outputs(self, images):
        return self.strategy.run(self._replica_frozen_outputs, args=(images,))

    def _replica_frozen_outputs(self, images: tf.Tensor) -> tf.Tensor:
        def part_outputs(part: tf.Tensor) -> tf.Tensor:
            return tf.cast(self._frozen(part, training=False), tf.float32)

        parts = tf.reshape(images, (-1, self.evaluation_batch_size // self._replicas, *images.shape[1:]))
        outputs = tf.map_fn(part_outputs, parts, parallel_iterations=1)
        return tf.reshape(outputs, (-1, *outputs.shape[2:]))

    def evaluate(self, batches: Iterable) -> Score:
        """Scores all images in the batches, and updates the metrics; images of weight 0 are padding.

        Args:
            batches: {"image", "label", "weight": (B,) float32, and what else the objective needs}, distributed over the
                replicas.
        """
        # They stay on the device until all batches are on their way to it, as the sums of training do.
        sums_of_batches = []
        self.metrics.reset()
        for batch in batches:
            sums, outputs = self._evaluate(batch)
            sums_of_batches.append(sums)
            if self.metrics:
                counts = self.gather(batch["weight"]) > 0
                self.metrics.update(self.gather(batch["label"])[counts], self.gather(outputs)[counts])
        return Score.from_sums(sum((sums.numpy() for sums in sums_of_batches), np.zeros(4)))

    @tf.function(autograph=False)
    def _evaluate(self, batch) -> tuple[tf.Tensor, tf.Tensor]:
        def replica(batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
            outputs = self._outputs(batch["image"], training=False)[:, : self.objective.tested_outputs]
            return self.objective.sums(outputs, batch, batch["weight"]), outputs

        sums, outputs = self.strategy.run(replica, args=(batch,))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None), outputs


def dropout_masks(
    layers: Sequence[keras.layers.Layer], rows: tf.Tensor, batch_size: int, seed: tf.Tensor
) -> list[tf.Tensor]:
    """Draws which features each dropout layer keeps (arXiv:1409.1556, sect. 3.1).

    The masks depend on the seed and the image's row in the batch alone. Keras's own dropout counts its calls in each
    replica, so that its masks would depend on the number of devices and on how often a run was interrupted.

    Call it outside of code that XLA compiles, which would draw other random numbers.

    Args:
        layers: layers of a net of `vgg.build`, or the last ones of it.
        rows: (b,) int32, the images' rows in the batch of all replicas.
        batch_size: number of images in the batch of all replicas.
        seed: (2,) int64, new at each step.

    Returns:
        For each dropout layer (b, width) bool, true where a feature is kept.
    """
    masks = []
    dropouts = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
    for index, layer in enumerate(dropouts):
        layer_seed = tf.random.experimental.stateless_fold_in(seed, index)
        # Each replica draws the numbers of the whole batch and takes its rows; philox is the same on all devices.
        numbers = tf.random.stateless_uniform((batch_size, layer.input.shape[-1]), layer_seed, alg="philox")
        masks.append(tf.gather(numbers, rows) >= layer.rate)
    return masks


def training_outputs(layers: Sequence[keras.layers.Layer], inputs: tf.Tensor, masks: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes the class scores, or the boxes, of a net in training, layer by layer, with given dropout masks.

    Args:
        layers: layers of a net of `vgg.build`, or the last ones of it.
        inputs: input of the first layer, for this replica's part of the batch; for a whole net (b, S, S, 3) float32,
            RGB 0..255.
        masks: result of `dropout_masks` for the layers.

    Returns:
        (b, n) float32, the outputs of the last layer with weights: logits, or boxes.
    """
    outputs = inputs
    next_mask = iter(masks)
    for layer in layers:
        if isinstance(layer, keras.layers.Dropout):
            outputs = tf.where(next(next_mask), outputs / (1.0 - layer.rate), tf.zeros_like(outputs))
        elif not isinstance(layer, (keras.layers.InputLayer, keras.layers.Softmax)):
            outputs = layer(outputs, training=True)
    return outputs


def weight_decays(layer: keras.layers.Layer) -> list[float]:
    """Returns for each trained variable of a layer by what its gradient of the L2 penalty is a multiple of itself."""
    penalty = getattr(layer, "kernel_regularizer", None)
    kernel = getattr(layer, "kernel", None)
    return [2 * float(penalty.l2) if penalty and each is kernel else 0.0 for each in layer.trainable_variables]


def num_parts(per_replica: int, micro_batch_size: int) -> int:
    """Returns the smallest number of equal parts of at most `micro_batch_size` images that a replica's batch has."""
    return next(
        parts
        for parts in range(1, per_replica + 1)
        if per_replica % parts == 0 and per_replica // parts <= micro_batch_size
    )


def _rows(values: tf.Tensor, start: tf.Tensor, count: int) -> tf.Tensor:
    return values[start : start + count]
