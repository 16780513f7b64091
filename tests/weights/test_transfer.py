"""Tests the transfer of weights by layer name."""

import numpy as np
import pytest

from tests.helpers.nets import small
from vgg_keras.models.vgg import Initialization, build
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import transfer
from vgg_keras.weights.transfer import SourceWeights

pytestmark = pytest.mark.generations


@pytest.mark.parametrize("net", ["B", "C", "D", "E"])
def test_four_convolutions_and_the_fc_layers_of_a_land_by_name(net):
    source = small("A")
    target = small(net, initialization=Initialization("glorot", seed=2))
    before = {layer.name: layer.get_weights() for layer in target.layers}
    report = transfer.transfer_weights(SourceWeights.from_model(source), target)
    landed = ("block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2", "fc6", "fc7", "fc8")
    assert report.copied == landed
    for layer in target.layers:
        expected = source.get_layer(layer.name).get_weights() if layer.name in landed else before[layer.name]
        for received, value in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(received, value)
    assert set(report.unexpected) == {"block4_conv1", "block4_conv2", "block5_conv1", "block5_conv2"}


def test_the_same_net_takes_all_layers_but_a_head_that_does_not_fit():
    source, target = small("C"), build("C", 7, input_size=32, width_multiplier=1 / 16)
    report = transfer.transfer_weights(SourceWeights.from_model(source), target)
    assert report.other_shape == (("fc8", (256, 5), (256, 7)),)
    assert not report.complete()
    assert len(report.copied) == 15


def test_weights_that_fit_nowhere_are_refused():
    with pytest.raises(
        UserError,
        match=r"no layer of x/best\.keras fits vgg_b: .* has 4 channels, here 8; give --width_multiplier=0\.0625",
    ):
        transfer.transfer_weights(
            SourceWeights.from_model(small("A"), "x/best.keras"), small("B", width_multiplier=1 / 8)
        )


def test_strict(tmp_path):
    source = SourceWeights.from_model(build("A", 4, input_size=32, width_multiplier=1 / 16))
    target = build("A", 3, input_size=32, width_multiplier=1 / 16)
    with pytest.raises(UserError, match=r"--strict: vgg_a does not fit vgg_a; .*; .*differ: fc8 \(\(256, 4\), here"):
        transfer.transfer_weights(source, target, strict=True)


def test_weights_that_are_no_numbers():
    source = SourceWeights.from_model(build("A", 5, input_size=32, width_multiplier=1 / 16))
    source.layers["fc7"][1][3] = np.nan
    with pytest.raises(UserError, match=r"vgg_a: fc7 has weights that are no finite numbers"):
        transfer.transfer_weights(source, build("A", 5, input_size=32, width_multiplier=1 / 16))


def test_a_layer_whose_bias_does_not_fit():
    source = SourceWeights.from_model(build("A", 5, input_size=32, width_multiplier=1 / 16))
    source.layers["fc7"].pop()
    report = transfer.transfer_weights(source, build("A", 5, input_size=32, width_multiplier=1 / 16))
    assert report.other_shape == (("fc7", (), (256,)),)
