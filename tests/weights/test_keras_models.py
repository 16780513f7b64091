"""Tests that weights are taken out of Keras models by what these compute, not by the names of their layers."""

import zipfile

import h5py
import keras
import numpy as np
import pytest

from tests.helpers.weight_files import WIDTHS, keras_model, tiny_state
from vgg_keras.models import vgg
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import KERAS_3
from vgg_keras.weights import formats, keras_models, transfer

layers = keras.layers


@pytest.fixture
def photos():
    return np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)


def trunk_of(source):
    """Builds net A without FC layers from a source's weights."""
    width = source.width_multiplier()
    net = vgg.build("A", input_size=32, mean_rgb=source.mean_rgb, include_top=False, width_multiplier=width)
    transfer.transfer_weights(source, net)
    return net


def last_map(model, inputs):
    """Computes the map after the last pool of a model of `keras_model`."""
    pools = [layer for layer in model.layers if isinstance(layer, layers.MaxPooling2D)]
    return keras.Model(model.input, pools[-1].output)(inputs).numpy()


def preprocessed(images):
    return images[..., ::-1] - np.float32([103.939, 116.779, 123.68])


FRONTS = {
    "0..1": lambda: [layers.Rescaling(1 / 255)],
    "-1..1": lambda: [layers.Rescaling(1 / 127.5, offset=-1.0)],
    "mean alone": lambda: [layers.Rescaling(1.0, offset=[-100.0, -110.0, -120.0])],
    "two layers": lambda: [
        layers.Rescaling(1 / 255),
        layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.2, 0.3]),
    ],
    "1x1": lambda: [layers.Rescaling(1 / 255), layers.Dropout(0.5)],
}


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("front", FRONTS)
def test_preprocessing_inside_is_folded_in(front, names, photos):
    model = keras_model(tiny_state(), FRONTS[front](), names)
    source = keras_models.read_layers(model, "m.keras")
    assert source.net == "A"
    assert [name for name in source.layers if name.startswith("fc")] == ["fc6", "fc7", "fc8"]
    expected = last_map(model, photos)
    assert expected.std() > 0
    np.testing.assert_allclose(trunk_of(source)(photos), expected, atol=2e-3 * expected.max())


@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has no operations on the channels that a model can be saved with")
def test_preprocess_input_inside(photos, tmp_path):
    model = keras_model(tiny_state())
    inputs = keras.Input((32, 32, 3))
    whole = keras.Model(inputs, model(keras.applications.vgg16.preprocess_input(inputs)))
    whole.save(tmp_path / "whole.keras")
    source = formats.read_weights(str(tmp_path / "whole.keras"), "A")
    expected = last_map(model, preprocessed(photos))
    np.testing.assert_allclose(trunk_of(source)(photos), expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("nested", [False, True])
def test_keras_applications_without_preprocessing(nested, photos, tmp_path):
    """Its users preprocess the images themselves, so this is folded in too."""
    model = keras_model(tiny_state())
    whole = keras.Sequential([keras.Input((32, 32, 3)), model]) if nested else model
    whole.save(tmp_path / "whole.keras")
    source = formats.read_weights(str(tmp_path / "whole.keras"), "A")
    np.testing.assert_allclose(source.mean_rgb, [123.68, 116.779, 103.939])
    expected = last_map(model, preprocessed(photos))
    np.testing.assert_allclose(trunk_of(source)(photos), expected, atol=2e-3 * expected.max())


def test_a_net_of_other_names_takes_the_pixels_as_they_are(photos):
    model = keras_model(tiny_state(), names=False)
    source = keras_models.read_layers(model, "m")
    np.testing.assert_allclose(source.mean_rgb, [0, 0, 0], atol=1e-3)
    expected = last_map(model, photos)
    np.testing.assert_allclose(trunk_of(source)(photos), expected, atol=2e-3 * expected.max())


def chain(activation="relu", pool=layers.MaxPooling2D, kernel=3, batch_norm=False):
    """Builds the convolutions of net A by hand."""
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)])
    for convolutions, width in zip((1, 1, 2, 2, 2), WIDTHS, strict=True):
        for _ in range(convolutions):
            model.add(layers.Conv2D(width, kernel, padding="same", use_bias=not batch_norm))
            if batch_norm:
                model.add(layers.BatchNormalization(epsilon=1e-2))
            model.add(layers.Activation(activation))
        model.add(pool(2))
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: chain("tanh"),
            r"m has the kernels of net A, but computes something else with them: another activation",
        ),
        (
            lambda: chain(pool=layers.AveragePooling2D),
            r"m is no net of the paper; its kernels, block by block: \(\(3, 3,",
        ),
        (lambda: chain(kernel=7), r"m is no net of the paper; its kernels"),
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()]), "m begins with no linear function of"),
        (
            lambda: keras.Sequential(
                [keras.Input((32, 32, 3)), layers.LayerNormalization(axis=(1, 2, 3)), *chain().layers]
            ),
            "m begins with no linear function of each pixel",
        ),
    ],
)
def test_what_computes_something_else_is_refused(model, message):
    with pytest.raises(UserError, match=message):
        keras_models.read_layers(model(), "m")


def test_a_head_that_computes_something_else_is_left_out():
    theirs = keras_model(tiny_state())
    pooled = layers.GlobalAveragePooling2D()(theirs.get_layer("block5_conv2").output)
    for name, activation in (("fc1", "relu"), ("fc2", "tanh"), ("predictions", "softmax")):
        pooled = layers.Dense(2, activation=activation, name=name)(pooled)
    four_pools = keras.Model(theirs.input, pooled)
    source = keras_models.read_layers(four_pools, "m")
    assert [name for name in source.layers if not name.startswith("block")] == ["fc1", "fc2", "predictions"]
    assert source.input_size is None


def test_batch_normalisation_of_keras_keeps_its_outputs(photos):
    rng = np.random.default_rng(0)
    model = chain(batch_norm=True)
    model.set_weights([rng.uniform(0.01, 0.5, array.shape) for array in model.get_weights()])
    source = keras_models.read_layers(model, "m")
    net = vgg.build(
        "A", input_size=32, mean_rgb=source.mean_rgb, include_top=False, batch_norm=True, width_multiplier=1 / 64
    )
    transfer.transfer_weights(source, net)
    np.testing.assert_allclose(net(photos), model(photos), rtol=1e-3)


def test_a_keras_file_whose_weights_declare_too_much(tmp_path):
    keras_model(tiny_state()).save(tmp_path / "whole.keras")
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (2**20, 2**20), "f4", chunks=(64, 64))
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "bad.keras", "w") as bad:
        for name in ("metadata.json", "config.json"):
            bad.writestr(name, whole.read(name))
        bad.write(tmp_path / "weights.h5", "model.weights.h5")
    with pytest.raises(UserError, match=r"bad\.keras is not a Keras model that can be loaded: it declares 4,398,046"):
        formats.read_weights(str(tmp_path / "bad.keras"), "A")
