"""Compares the nets with Table 1 of the paper, keras.applications and plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from vgg_keras.models import architectures
from vgg_keras.models.architectures import NETS
from vgg_keras.models.vgg import Initialization, build

# The paper's Table 2 gives millions; these are the sums of k*k*in*out + out over the layers, for 1000 classes.
pytestmark = pytest.mark.generations
PARAMETERS = {
    "A": 132_863_336,
    "A-LRN": 132_863_336,
    "B": 133_047_848,
    "C": 133_638_952,
    "D": 138_357_544,
    "E": 143_667_240,
    # The 5x5 convolutions have 4,864 + 204,928 + 819,456 + 3,277,312 + 6,554,112, the FC layers 123,642,856.
    "B-5x5": 134_503_528,
}
WEIGHT_LAYERS = {"A": 11, "A-LRN": 11, "B": 13, "C": 16, "D": 16, "E": 19, "B-5x5": 8}


def test_every_net_has_its_numbers():
    assert PARAMETERS.keys() == WEIGHT_LAYERS.keys() == NETS.keys()


@pytest.mark.parametrize("net", PARAMETERS)
def test_number_of_parameters_and_weight_layers(net):
    model = build(net)
    assert model.count_params() == PARAMETERS[net]
    assert (
        sum(isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)) for layer in model.layers)
        == (WEIGHT_LAYERS[net])
    )


@pytest.mark.slow
@pytest.mark.parametrize("net", ["D", "E"])
def test_logits_equal_keras_applications(net):
    application = keras.applications.VGG16 if net == "D" else keras.applications.VGG19
    theirs = application(weights=None, classifier_activation=None)
    ours = build(net, initialization=Initialization("he"))
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)
    scores = keras.Model(ours.input, ours.get_layer("fc8").output)
    expected = theirs(image - np.float32(architectures.IMAGENET_MEAN_RGB), training=False).numpy()
    np.testing.assert_allclose(scores(image, training=False), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("net", architectures.NETS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_reach_every_parameter(net, batch_norm, photos):
    model = small(net, batch_norm=batch_norm)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.math.log(model(photos, training=True))[:, 0])
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        # Batch normalization cancels the bias of the convolution before it, so that its gradient may be 0.
        assert gradient is not None, variable.name
        assert np.isfinite(gradient).all(), variable.name
        assert batch_norm or np.abs(gradient).max() > 0, variable.name


def test_gradient_of_the_penalty_is_decay_times_weight():
    model = small("A", weight_decay=5e-4)
    with tf.GradientTape() as tape:
        penalty = tf.add_n(model.losses)
    gradients = tape.gradient(penalty, model.trainable_variables)
    assert len(gradients) == 22
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if "bias" in variable.name:
            assert gradient is None
        else:
            np.testing.assert_allclose(gradient, 5e-4 * variable.numpy(), rtol=1e-6)


def test_mean_is_subtracted_first(photos):
    model = small("A", mean_rgb=(1.0, 2.0, 3.0))
    first = keras.Model(model.input, model.layers[1].output)
    np.testing.assert_allclose(first(photos), photos - np.array([1, 2, 3], np.float32), rtol=1e-6)


def test_a_lrn_normalises_after_the_first_convolution_only():
    names = [layer.name for layer in small("A-LRN").layers]
    assert names.index("block1_lrn") == names.index("block1_conv1") + 1
    assert [name for name in names if "lrn" in name] == ["block1_lrn"]


@pytest.mark.parametrize(("name", "stddev"), [("normal", 0.1), ("glorot", (2 / (9 * 16 + 9 * 32)) ** 0.5)])
def test_initial_weights(name, stddev):
    model = build("A", 5, input_size=32, width_multiplier=1 / 4, initialization=Initialization(name, seed=3))
    kernel, bias = model.get_layer("block2_conv1").get_weights()
    assert kernel.shape == (3, 3, 16, 32)
    assert abs(kernel.std() - stddev) < 0.05 * stddev
    assert not bias.any()
    again = build("A", 5, input_size=32, width_multiplier=1 / 4, initialization=Initialization(name, seed=3))
    np.testing.assert_array_equal(again.get_layer("block2_conv1").get_weights()[0], kernel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": "F"}, "net must be one of A, A-LRN, B, C, D, E, B-5x5, received 'F'"),
        ({"net": "A", "input_size": 100}, "input_size must be a positive multiple of 32, received 100"),
        ({"net": "A", "num_classes": 0}, "num_classes must be at least 1, received 0"),
        ({"net": "A", "width_multiplier": 0.001}, "width_multiplier leaves layers without channels, received 0.001"),
        (
            {"net": "A", "initialization": Initialization("zeros")},
            "must be one of glorot, normal, he, received 'zeros'",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)
