"""Tests layers with different learning rates against steps worked out by hand."""

import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.training import optimizers
from vgg_keras.training.optimizers import OptimizerConfig
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import KERAS_3

pytestmark = pytest.mark.generations


@pytest.fixture
def layers():
    made = []
    for name in ("old", "new"):
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)
        layer.build((None, 1))
        made.append(layer)
    return made


def _stepping(layers, name, rate, momentum, **arguments):
    """Makes the optimizers of both layers, of which "old" is pre-trained."""
    choice = OptimizerConfig(name, rate, momentum)
    return optimizers.make_optimizers(choice, layers, pretrained=("old",), **arguments)


def _weights_after(layers, stepping, gradients):
    variables = [layer.kernel for layer in layers]
    for of_step in gradients:
        values = [stepping.scale_loss(tf.constant([[gradient]])) for gradient in of_step]
        tf.function(functools.partial(stepping.apply, values, variables))()
    return [float(variable.numpy()[0, 0]) for variable in variables]


def test_sgd_with_momentum(layers):
    stepping = _stepping(layers, "sgd", 0.1, 0.9, pretrained_rate=0.5)
    received = _weights_after(layers, stepping, [(1.0, 1.0), (2.0, 2.0)])
    # The velocities of "new" are 0.1 and 0.9 * 0.1 + 0.1 * 2; those of "old" are half as large.
    np.testing.assert_allclose(received, [-(0.05 + 0.145), -(0.1 + 0.29)], rtol=1e-6)


def weights_after(optimizer, start, gradients):
    """Returns the weights that an optimizer makes of some by gradients of as many steps, inside a `tf.function`."""
    layer = keras.layers.Dense(start.shape[1], use_bias=False)
    layer.build((None, start.shape[0]))
    layer.set_weights([start])
    optimizer.build(layer.trainable_variables)
    step = tf.function(lambda gradient: optimizer.apply_gradients([(gradient, layer.kernel)]))
    for gradient in gradients:
        step(tf.constant(gradient, tf.float32))
    return layer.get_weights()[0]


@pytest.mark.parametrize("arguments", [{}, {"nesterov": True}, {"clipnorm": 0.5, "weight_decay": 1e-3}])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_has_the_bits_of_keras(momentum, arguments):
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(50, 40)), rng.normal(size=(4, 50, 40))
    ours = OptimizerConfig("sgd", 0.01, momentum, arguments).make()
    theirs = keras.optimizers.SGD(0.01, momentum=momentum, **arguments)

    def result(optimizer):
        weights = weights_after(optimizer, start, gradients)
        velocities = optimizer.momentums if momentum else []
        return [weights, *(keras_compat.tf_variable(each).numpy() for each in velocities)]

    for found, expected in zip(result(ours), result(theirs), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("arguments", [{}, {"clipnorm": 0.5, "weight_decay": 1e-3}, {"amsgrad": True}])
def test_adam_is_that_of_keras(arguments):
    rng = np.random.default_rng(0)
    start, gradients = 0.01 * rng.normal(size=(50, 40)), rng.normal(size=(6, 50, 40))
    found = weights_after(OptimizerConfig("adam", 0.01, arguments=arguments).make(), start, gradients)
    expected = weights_after(keras.optimizers.Adam(0.01, **arguments), start, gradients)
    # Six steps of about 0.01.
    np.testing.assert_allclose(found, expected, atol=6e-7)


def test_adam_by_numpy():
    rng = np.random.default_rng(0)
    start, gradients = 0.01 * rng.normal(size=(50, 40)), rng.normal(size=(6, 50, 40))
    settings = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}
    found = weights_after(OptimizerConfig("adam", 0.01, arguments=settings).make(), start, gradients)
    mean, square, expected = np.zeros_like(start), np.zeros_like(start), start.copy()
    for number, gradient in enumerate(gradients, start=1):
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.95**number) / (1 - 0.8**number)
        expected -= rate * mean / (np.sqrt(square) + 1e-4)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_multiplier_works_for_adam_too(layers):
    stepping = _stepping(layers, "adam", 0.1, 0.9, pretrained_rate=0.25)
    # Adam's first step is as large as the learning rate, for any gradient.
    np.testing.assert_allclose(_weights_after(layers, stepping, [(3.0, 70.0)]), [-0.025, -0.1], rtol=1e-4)


def test_set_rate_reaches_every_group(layers):
    stepping = _stepping(layers, "sgd", 1.0, 0.0, pretrained_rate=0.1)
    stepping.set_rate(0.5)
    np.testing.assert_allclose(_weights_after(layers, stepping, [(1.0, 1.0)]), [-0.05, -0.5], rtol=1e-6)


def test_one_group_where_the_rates_are_equal(layers):
    assert len(_stepping(layers, "sgd", 0.1, 0.9).members) == 1
    assert len(_stepping(layers[1:], "sgd", 0.1, 0.9, pretrained_rate=0.1).members) == 1


def test_each_group_divides_by_the_scale_of_the_loss(layers):
    stepping = _stepping(layers, "sgd", 0.1, 0.0, pretrained_rate=0.5, precision="mixed_float16")
    # One group has another scale, as after an overflow in that group alone.
    of_second = stepping.members[1]
    scale = of_second.dynamic_scale if KERAS_3 else of_second._loss_scale._current_loss_scale
    scale.assign(2.0**14)
    np.testing.assert_allclose(_weights_after(layers, stepping, [(1.0, 1.0)]), [-0.05, -0.1], rtol=1e-6)


def test_unknown_optimizer():
    with pytest.raises(UserError, match="--optimizer=nonsense is not an optimizer of Keras"):
        optimizers.make_optimizer(OptimizerConfig("nonsense", 0.1), [])


def test_further_arguments(layers):
    choice = OptimizerConfig("adam", 0.1, arguments={"beta_1": 0.5, "beta_2": 0.5, "epsilon": 1.0})
    stepping = optimizers.make_optimizers(choice, layers[1:])
    # m = 0.5 * 3, v = 0.5 * 9, and the rate is 0.1 * sqrt(1 - 0.5) / (1 - 0.5): 0.1414 * 1.5 / (2.1213 + 1).
    np.testing.assert_allclose(_weights_after(layers[1:], stepping, [(3.0,)]), [-0.067962], rtol=1e-4)
    with pytest.raises(ValueError, match=r"optimizer adam cannot be made with \{.*'nonsense': 1"):
        OptimizerConfig("adam", 0.1, arguments={"nonsense": 1}).make()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"beta_1": "x"}, "beta_1='x' should be a number from 0 to below 1"),
        ({"beta_1": 1.0}, "beta_1=1.0 should be a number from 0 to below 1"),
        ({"beta_2": -0.1}, "beta_2=-0.1 should be a number from 0 to below 1"),
        ({"epsilon": None}, "epsilon=None should be a number"),
        ({"epsilon": True}, "epsilon=True should be a number"),
        ({"amsgrad": 1}, "amsgrad=1 should be true or false"),
    ],
)
def test_values_that_an_argument_cannot_have(arguments, problem):
    with pytest.raises(ValueError, match=f"optimizer adam cannot be made with .*: {problem}$"):
        OptimizerConfig("adam", 0.1, arguments=arguments).make()


def test_arguments_for_one_device():
    for arguments in ({"use_ema": True, "ema_overwrite_frequency": 3}, {"gradient_accumulation_steps": 2}):
        config = OptimizerConfig("sgd", 0.1, arguments=arguments)
        config.require_devices(1)
        with pytest.raises(UserError, match=f"--optimizer_args has {next(iter(arguments))}, .* and there are 2: leave"):
            config.require_devices(2)
    OptimizerConfig("sgd", 0.1, arguments={"use_ema": False}).require_devices(2)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_gradients_are_clipped_by_the_length_of_all_together(precision, layers):
    choice = OptimizerConfig("sgd", 1.0, 0.0, {"global_clipnorm": 1.0})
    stepping = optimizers.make_optimizers(choice, layers, precision=precision)
    # The gradient (30, 40) has the length 50.
    np.testing.assert_allclose(_weights_after(layers, stepping, [(30.0, 40.0)]), [-0.6, -0.8], rtol=1e-5)


def test_an_addons_name_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(UserError, match=r"Addons>SGDW is of tensorflow-addons .*pip install 'vgg_keras\[addons\]'"):
        OptimizerConfig("Addons>SGDW", 0.1).make()


def test_sgdw_of_addons_by_hand(layers):
    pytest.importorskip("tensorflow_addons", reason="tensorflow-addons works with TensorFlow 2.15 alone")
    choice = OptimizerConfig("Addons>SGDW", 0.1, arguments={"weight_decay": 0.01, "momentum": 0.9})
    stepping = optimizers.make_optimizers(choice, layers[1:])
    received = _weights_after(layers[1:], stepping, [(1.0,), (2.0,)])
    # Each step first decays the weight and then moves it: -0.1, then -0.1 * (1 - 0.01) - (0.09 + 0.2).
    np.testing.assert_allclose(received, [-0.099 - 0.29], rtol=1e-6)


def test_an_average_of_the_weights_that_nothing_uses_is_refused(layers):
    message = 'use_ema, which averages the weights, but nothing would use the average: leave it out, or give "ema_over'
    for name in ("sgd", "adam"):
        with pytest.raises(UserError, match=message):
            OptimizerConfig(name, 0.1, arguments={"use_ema": True, "ema_momentum": 0.5}).make()


def test_an_average_that_becomes_the_weights(layers):
    arguments = {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2}
    config = OptimizerConfig("sgd", 1.0, 0.0, arguments)
    stepping = optimizers.make_optimizers(config, layers)
    assert _weights_after(layers, stepping, [(1.0, 1.0)]) == pytest.approx([-1.0, -1.0])
    # Keras 3 begins the average at the weights after the first step, -1: 0.75 * -1 + 0.25 * -2. Keras 2 begins at zero:
    # 0.75 * (0.25 * -1) + 0.25 * -2.
    expected = -1.25 if KERAS_3 else -0.6875
    assert _weights_after(layers, stepping, [(1.0, 1.0)]) == pytest.approx([expected, expected])
