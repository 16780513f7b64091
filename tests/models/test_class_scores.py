"""Compares nets whose class scores are divided by a temperature with NumPy."""

import keras
import numpy as np
import pytest

from tests.helpers.numpy_net import softmax
from vgg_keras.models import class_scores
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations


def net(*last):
    """Makes a net with random weights that ends in some layers."""
    keras.utils.set_random_seed(1)
    inputs = outputs = keras.Input((4, 4, 3))
    for layer in (keras.layers.Flatten(), keras.layers.Dense(5, activation="relu"), *last):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "last",
    [
        lambda: [keras.layers.Dense(3, bias_initializer="uniform"), keras.layers.Softmax()],
        lambda: [keras.layers.Dense(3, use_bias=False), keras.layers.Activation("softmax")],
        lambda: [keras.layers.Dense(3, activation="softmax", bias_initializer="uniform")],
    ],
)
def test_posteriors_of_divided_scores(last):
    model, images = net(*last()), np.random.default_rng(0).uniform(-1, 1, (6, 4, 4, 3)).astype(np.float32)
    weights = model.get_weights()
    hidden = np.maximum(images.reshape(6, -1) @ weights[0] + weights[1], 0)
    scores = hidden @ weights[2] + (weights[3] if len(weights) > 3 else 0)
    tempered = class_scores.tempered(model, 1.7)
    np.testing.assert_allclose(np.asarray(tempered(images)), softmax(scores / 1.7), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(model(images)), softmax(scores), rtol=1e-4)  # which is unchanged
    assert tempered.count_params() == model.count_params()


def test_a_temperature_of_one_changes_nothing():
    model = net(keras.layers.Dense(3, activation="softmax"))
    assert class_scores.tempered(model, 1) is model


@pytest.mark.parametrize(
    "last",
    [
        lambda: [keras.layers.Dense(3, activation="relu"), keras.layers.Softmax()],
        lambda: [keras.layers.Dense(3), keras.layers.Rescaling(2.0), keras.layers.Softmax()],
        lambda: [keras.layers.Dense(3)],
    ],
)
def test_other_ends_are_refused(last):
    with pytest.raises(UserError, match="not in a dense layer and a softmax"):
        class_scores.tempered(net(*last()), 1.7)
