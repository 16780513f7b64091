"""Tests that another backend of Keras is refused at once, and that the settings of keras.json do not matter."""

import importlib

import keras
import numpy as np
import pytest

import vgg_keras
from tests.helpers.flag_tables import VERBS, minimal
from tests.helpers.nets import small
from vgg_keras.models import fully_convolutional, saving
from vgg_keras.utils import cli, keras_backend, keras_compat
from vgg_keras.utils.errors import UserError

# The others read their sources first, or need no TensorFlow.
_LATE = ("vgg_keras.report", "data_prep.flowers", "data_prep.image_folder", "data_prep.voc")
LOADING = [verb for verb in VERBS if verb not in _LATE]


def test_tensorflow_is_accepted():
    keras_backend.require_tensorflow()


@pytest.mark.parametrize("verb", sorted(set(LOADING) - {"data_prep.imagenet"}))
def test_every_verb_refuses_another_backend(verb, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    options = VERBS[verb](**minimal(VERBS[verb]))
    with pytest.raises(UserError, match=r"^Keras was imported with jax, but the nets .* set KERAS_BACKEND=tensorflow"):
        importlib.import_module(verb).main(options)


def test_the_python_api_refuses_another_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    for name in ("load", "build", "open_data", "train_model"):
        monkeypatch.delitem(vars(vgg_keras), name, raising=False)
        with pytest.raises(UserError, match=r"^Keras was imported with torch, but"):
            getattr(vgg_keras, name)


@pytest.mark.skipif(not keras_compat.KERAS_3, reason="Keras 2 has one backend")
def test_the_environment_variable_is_read_before_keras_is(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(keras_backend.sys.modules, "keras")
    with (
        pytest.raises(UserError, match=r"^the environment variable KERAS_BACKEND is jax, but the nets"),
        cli.loading_libraries(),
    ):
        raise AssertionError("the block must not run")


@pytest.mark.parametrize("floatx", ["float16", "float64"])
def test_other_settings_of_keras_json(floatx, tmp_path):
    images = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    model = small(batch_norm=True)
    expected = model(images).numpy()
    map_shape = fully_convolutional.convert(model).output_shape
    try:
        with keras_compat.global_policy(floatx):  # as it would be in a process that began with this keras.json
            keras.backend.set_image_data_format("channels_first")
            keras.backend.set_floatx(floatx)
            again = small(batch_norm=True)
            np.testing.assert_array_equal(again(images).numpy(), expected)
            assert {str(weight.dtype) for weight in again.weights} == {str(weight.dtype) for weight in model.weights}
            assert fully_convolutional.convert(again).output_shape == map_shape
            saving.save_model(again, tmp_path / "a.keras")
            np.testing.assert_array_equal(saving.load_model(tmp_path / "a.keras")(images).numpy(), expected)
            assert small(include_top=False, pooling="avg").output_shape == (None, 32)
            assert keras.layers.Dense(1).compute_dtype == floatx
        # The program's own settings are as before.
        assert (keras.backend.image_data_format(), keras.backend.floatx()) == ("channels_first", floatx)
    finally:
        keras.backend.set_image_data_format("channels_last")
        keras.backend.set_floatx("float32")


def test_a_policy_that_the_program_chose_stays():
    with keras_compat.global_policy("mixed_bfloat16"):
        assert small().get_layer("fc6").compute_dtype == "bfloat16"
