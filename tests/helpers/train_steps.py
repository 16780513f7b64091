"""Makes small nets and their training steps."""

import tensorflow as tf

from vgg_keras.training import freezing
from vgg_keras.training.optimizers import OptimizerConfig, make_optimizers
from vgg_keras.training.train_step import StepConfig, TrainStep


def make(model, learning_rate=1e-3, precision="float32", metrics=None, **arguments):
    layers = freezing.trained_layers(model, arguments.get("frozen_up_to", ""))
    made = make_optimizers(OptimizerConfig("sgd", learning_rate, 0.9), layers, precision=precision)
    config = StepConfig(**{"batch_size": 8, "micro_batch_size": 8, "seed": 0, **arguments})
    return TrainStep(model, made, tf.distribute.OneDeviceStrategy("/cpu:0"), config, metrics)
