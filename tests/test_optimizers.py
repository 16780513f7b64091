"""Layers with learning rates of their own, step by step by hand."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras import optimizers


@pytest.fixture
def layers():
    made = []
    for name in ("old", "new"):
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)
        layer.build((None, 1))
        made.append(layer)
    return made


def _weights_after(layers, stepping, gradients):
    variables = [layer.kernel for layer in layers]
    for of_step in gradients:
        values = [stepping.scale_loss(tf.constant([[gradient]])) for gradient in of_step]
        tf.function(functools.partial(stepping.apply, values, variables))()
    return [float(variable.numpy()[0, 0]) for variable in variables]


def test_sgd_with_momentum(layers):
    stepping = optimizers.make_optimizers("sgd", 0.1, 0.9, layers, pretrained=("old",), pretrained_rate=0.5)
    received = _weights_after(layers, stepping, [(1.0, 1.0), (2.0, 2.0)])
    # New: velocities 0.1 and 0.9 * 0.1 + 0.1 * 2. Old: half of it.
    np.testing.assert_allclose(received, [-(0.05 + 0.145), -(0.1 + 0.29)], rtol=1e-6)


def test_a_multiplier_works_for_adam_too(layers):
    stepping = optimizers.make_optimizers("adam", 0.1, 0.9, layers, pretrained=("old",), pretrained_rate=0.25)
    # Adam's first step is the learning rate, whatever the gradient.
    np.testing.assert_allclose(_weights_after(layers, stepping, [(3.0, 70.0)]), [-0.025, -0.1], rtol=1e-4)


def test_set_rate_reaches_every_group(layers):
    stepping = optimizers.make_optimizers("sgd", 1.0, 0.0, layers, pretrained=("old",), pretrained_rate=0.1)
    stepping.set_rate(0.5)
    np.testing.assert_allclose(_weights_after(layers, stepping, [(1.0, 1.0)]), [-0.05, -0.5], rtol=1e-6)


def test_one_group_where_the_rates_are_equal(layers):
    assert len(optimizers.make_optimizers("sgd", 0.1, 0.9, layers, pretrained=("old",)).members) == 1
    assert len(optimizers.make_optimizers("sgd", 0.1, 0.9, layers[1:], pretrained_rate=0.1).members) == 1


def test_each_group_divides_by_the_scale_of_the_loss(layers):
    stepping = optimizers.make_optimizers(
        "sgd", 0.1, 0.0, layers, pretrained=("old",), pretrained_rate=0.5, precision="mixed_float16"
    )
    # As after an overflow in one group alone: its scale is halved.
    stepping.members[1].dynamic_scale.assign(2.0**14)
    np.testing.assert_allclose(_weights_after(layers, stepping, [(1.0, 1.0)]), [-0.05, -0.1], rtol=1e-6)


def test_unknown_optimizer():
    with pytest.raises(ValueError, match="nonsense"):
        optimizers.make_optimizer("nonsense", 0.1, 0.9, [])
