"""Tests the reading of Keras's HDF5 files: models inside models, and what is refused."""

import h5py
import keras
import numpy as np
import pytest

from tests.helpers.weight_files import keras_layers, keras_model, save_legacy_hdf5, save_named_hdf5, tiny_state
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats, keras_hdf5


def test_layers_inside_a_model(tmp_path):
    state = tiny_state()
    save_legacy_hdf5(state, tmp_path / "nested.h5", inside="vgg16")
    layers = keras_hdf5.read_layers(tmp_path / "nested.h5")
    expected = keras_layers(state)
    assert list(layers) == list(expected)
    for name, arrays in expected.items():
        for received, array in zip(layers[name], arrays, strict=True):
            np.testing.assert_array_equal(received, array)
    assert formats.read_weights(str(tmp_path / "nested.h5"), "A").net == "A"


def test_a_saved_model_with_a_model_inside(tmp_path):
    state = tiny_state()
    theirs = keras_model(state)
    trunk = keras.Model(theirs.input, theirs.get_layer("block5_conv2").output, name="trunk")
    model = keras.Sequential([keras.Input((32, 32, 3)), trunk, keras.layers.Flatten(), keras.layers.Dense(3)])
    model.save(tmp_path / "nested.h5")
    source = formats.read_weights(str(tmp_path / "nested.h5"), "A")
    assert (source.net, "block5_conv2" in source.layers, "fc8" in source.layers) == ("A", True, False)
    # Blue first: the kernel for the channel that comes last belongs to red.
    expected = state["features.0.weight"][0, ::-1].transpose(1, 2, 0)
    np.testing.assert_allclose(source.layers["block1_conv1"][0][..., 0], expected, atol=1e-6)


def test_a_model_that_changes_the_pixels_itself_is_refused(tmp_path):
    model = keras_model(tiny_state(), [keras.layers.Rescaling(1 / 255)])
    for name in ("whole.h5", "only.weights.h5"):
        (model.save if name == "whole.h5" else model.save_weights)(tmp_path / name)
        message = (
            rf"{name} cannot be read .*: its model changes the pixels itself \(rescaling\); load it in Keras, save"
        )
        with pytest.raises(UserError, match=message):
            formats.read_weights(str(tmp_path / name), "A")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.create_dataset("x", (2**40,), "f4", chunks=(64,)), "it declares 4,398,0"),
        (lambda file: file.__setitem__("y", h5py.SoftLink("/layers")), "it links to something outside itself"),
        (lambda file: file["layers/conv2d_3/vars"].attrs.__setitem__("name", "block1_conv1"), "two layers with the"),
        (lambda file: file["layers/conv2d_3/vars"].__setitem__("first", 1), "invalid literal for int"),
        (lambda file: file["layers/conv2d_3/vars"].__setitem__("2", "text"), "holds no floating-point numbers"),
        (lambda file: file["layers/conv2d_3/vars"].__setitem__("2", [1, 2]), "holds no floating-point numbers"),
    ],
)
def test_what_is_refused(change, message, tmp_path):
    save_named_hdf5(tiny_state(), tmp_path / "w.weights.h5")
    with h5py.File(tmp_path / "w.weights.h5", "a") as file:
        change(file)
    with pytest.raises(UserError, match=rf"w\.weights\.h5 cannot be read as weights of Keras: .*{message}"):
        formats.read_weights(str(tmp_path / "w.weights.h5"), "A")


def test_a_file_on_which_the_library_fails(tmp_path, monkeypatch):
    save_named_hdf5(tiny_state(), tmp_path / "w.weights.h5")
    monkeypatch.setattr(keras_hdf5, "_REHEARSAL", "import os; os.abort()")
    with pytest.raises(UserError, match="it is damaged, and the HDF5 library fails on it"):
        keras_hdf5.read_layers(tmp_path / "w.weights.h5")
