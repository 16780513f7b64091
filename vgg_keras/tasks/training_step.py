"""Builds the net of a run, with the weights that it starts from, its optimizers, and its compiled training step."""

import os
from collections.abc import Collection, Sequence

import keras
import tensorflow as tf

from vgg_keras.models import vgg
from vgg_keras.training import freezing
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.keras_metrics import ValidationMetrics
from vgg_keras.training.objectives import BoxRegression, Classification
from vgg_keras.training.optimizers import OptimizerConfig, make_optimizers
from vgg_keras.training.train_step import StepConfig, TrainStep
from vgg_keras.utils import console, devices
from vgg_keras.utils.errors import UserError
from vgg_keras.weights.formats import read_weights
from vgg_keras.weights.transfer import transfer_weights


def build_model(
    options: TrainConfig, num_classes: int, mean_rgb: Sequence[float]
) -> tuple[keras.Model, Collection[str]]:
    """Builds the net, and copies the weights of --init_from into it.

    Args:
        options: flags of the verb.
        num_classes: number of classes.
        mean_rgb: mean RGB of the training split, 0..255.

    Returns:
        The net, and the names of the layers that received weights of --init_from.

    Raises:
        ValueError: a setting of the net is out of its range.
        UserError: --init_from cannot be read, or does not fit the net.
    """
    num_outputs = options.num_outputs or num_classes
    source = read_weights(os.fspath(options.init_from), options.net, num_outputs) if options.init_from else None
    model = vgg.build(
        options.net,
        num_outputs,
        input_size=options.input_size,
        # The source's convolutions were trained with the source's mean, which need not be that of this data set.
        mean_rgb=source.mean_rgb if source else mean_rgb,
        dropout=options.dropout,
        weight_decay=options.weight_decay,
        initialization=vgg.Initialization(options.initializer, options.initializer_variance, options.seed),
        batch_norm=options.batch_norm,
        width_multiplier=options.width_multiplier,
        box_regression=options.box_kind(),
        input_scaling=options.input_scaling,
    )
    if not source:
        return model, ()
    report = transfer_weights(source, model, strict=options.strict)
    console.say(f"{options.init_from}: {report}")
    return model, report.copied


def build_train_step(
    options: TrainConfig,
    num_classes: int,
    mean_rgb: Sequence[float],
    strategy: tf.distribute.Strategy,
    precision: str,
    *,
    in_cluster: bool = False,
) -> TrainStep:
    """Builds the net, its optimizers and its training step on all devices.

    Args:
        options: flags of the verb.
        num_classes: number of classes.
        mean_rgb: mean RGB of the training split, 0..255.
        strategy: the devices.
        precision: Keras's dtype policy.
        in_cluster: whether other processes take part.

    Raises:
        UserError: the settings do not fit the net or the devices, or --init_from cannot be used.
    """
    keras.utils.set_random_seed(options.seed)
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    step_config = StepConfig(
        batch_size=options.batch_size,
        micro_batch_size=options.micro_batch_size or (options.batch_size if on_gpu else 32),
        halve_if_needed=not options.micro_batch_size,
        seed=options.seed,
        frozen_up_to=options.freeze_up_to,
        cached=bool(options.cache_views),
        jit=devices.choose_jit(options.jit_compile, strategy),
        in_cluster=in_cluster,
        all_reduce=options.all_reduce,
    )
    optimizer = OptimizerConfig(
        options.optimizer, options.learning_rate, options.momentum, options.optimizer_arguments()
    )
    optimizer.require_devices(strategy.num_replicas_in_sync)
    try:
        with strategy.scope():
            model, pretrained = build_model(options, num_classes, mean_rgb)
            as_map = options.view_side() > options.input_size
            freezing.require_freezable(model, options.freeze_up_to, pretrained, as_map=as_map)
            optimizers = make_optimizers(
                optimizer,
                freezing.trained_layers(model, options.freeze_up_to),
                pretrained=pretrained,
                pretrained_rate=options.pretrained_rate,
                precision=precision,
            )
        metrics = ValidationMetrics(options.metric_arguments())
        kind = options.box_kind()
        objective = BoxRegression(kind, num_classes) if kind else Classification(num_classes)
        return TrainStep(model, optimizers, strategy, step_config, metrics, objective)
    except ValueError as error:
        raise UserError(str(error)) from error
