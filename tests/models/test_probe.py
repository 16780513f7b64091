"""Tests what is found out about models of unknown origin by showing them images."""

import re

import keras
import numpy as np
import pytest

from tests.helpers.weight_files import keras_model, tiny_state
from vgg_keras.models import plain_chain, probe
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations

layers = keras.layers


def test_layers_are_watched_in_order_and_left_as_they_were():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(2.0), layers.Conv2D(1, 3), layers.Flatten()])
    probed = probe.run(model, "m")
    assert [type(step.layer).__name__ for step in probed.steps] == ["Rescaling", "Conv2D", "Flatten"]
    np.testing.assert_array_equal(probed.steps[0].outputs, probed.images * 2)
    np.testing.assert_array_equal(probed.steps[1].inputs, probed.images * 2)
    assert probed.first_convolution == 1
    assert all("call" not in vars(layer) for layer in model.layers)
    again = probe.run(model, "m")
    np.testing.assert_array_equal(again.outputs, probed.outputs)


def test_a_model_inside_a_model():
    inner = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), layers.Conv2D(1, 3, name="conv")])
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1.0, [-1.0, -2.0, -3.0]), inner])
    seen = probe.run(model, "m").input_map
    np.testing.assert_allclose(seen.mean, [1, 2, 3], atol=1e-3)
    np.testing.assert_allclose(seen.matrix, np.eye(3) / 255, atol=1e-8)


@pytest.mark.parametrize(
    ("front", "unchanged"),
    [
        ([], True),
        ([layers.Resizing(24, 24)], True),
        ([layers.CenterCrop(16, 16), layers.RandomFlip()], True),
        ([layers.Resizing(24, 24), layers.Rescaling(1 / 255)], False),
        ([layers.Rescaling(1.0, [-20.0, 0.0, 0.0])], False),
        ([layers.Conv2D(3, 1, kernel_initializer="ones"), layers.Resizing(24, 24)], True),
    ],
)
def test_whether_the_convolutions_see_the_pixels_unchanged(front, unchanged):
    model = keras.Sequential([keras.Input((64, 64, 3)), *front, layers.Conv2D(1, 3)])
    assert probe.run(model, "m").shows_pixels_unchanged() == unchanged


def test_models_that_cannot_be_probed():
    with pytest.raises(UserError, match=r"^grey takes \(None, 8, 8, 1\), where the nets here take RGB images"):
        probe.run(keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()]), "grey")
    assert probe.run(keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()]), "m").input_map is None


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ([[0.25, 0.75], [1, 0]], None),
        ([[0.5, 0.6], [1, 0]], "does not give posteriors .* but numbers from 0 to 1: it must end in a softmax"),
        ([[-2, 3], [0, 1]], "but numbers from -2 to 3: it must end in a softmax"),
        ([[0.3], [0.8]], r"gives one number, where .*: end it in Dense\(2, activation='softmax'\)"),
        ([[1], [1]], None),
        ([[np.nan, 0]], "gives outputs that are not numbers"),
    ],
)
def test_posteriors(outputs, why):
    found = probe.why_no_posteriors(np.array(outputs, float))
    assert (found is None) == (why is None)
    assert why is None or re.search(why, found)


def test_a_nested_model_is_rebuilt_as_a_chain():
    theirs = keras_model(tiny_state(), [layers.Rescaling(1 / 128, -1.0)])
    trunk = keras.Model(theirs.input, theirs.layers[-5].output, name="trunk")
    inputs = keras.Input((32, 32, 3))
    outputs = layers.Dense(3, activation="softmax")(layers.Flatten()(trunk(inputs)))
    model = keras.Model(inputs, outputs, name="nested")
    assert plain_chain.is_plain(theirs)
    assert not plain_chain.is_plain(model)
    chain = plain_chain.rebuild(model, probe.run(model, "m"))
    assert plain_chain.is_plain(chain)
    assert [layer.name for layer in chain.layers][1:3] == ["mean_rgb", "block1_conv1"]
    photos = np.random.default_rng(3).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(chain(photos), model(photos), atol=1e-5)


def test_a_model_with_branches_is_no_chain():
    inputs = keras.Input((8, 8, 3))
    convolved = layers.Conv2D(3, 3, padding="same")(inputs)
    model = keras.Model(inputs, layers.Flatten()(layers.Add()([convolved, inputs])))
    assert not plain_chain.is_plain(model)
    assert plain_chain.rebuild(model, probe.run(model, "m")) is None
