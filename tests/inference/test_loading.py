"""Tests which models of others are tested, and that they are given, and give, what they were made for."""

import keras
import numpy as np
import pytest

from tests.helpers.nets import flower, small
from tests.helpers.numpy_net import softmax
from tests.helpers.weight_files import keras_model, tiny_state
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol
from vgg_keras.models import saving
from vgg_keras.utils import console, keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import KERAS_3
from vgg_keras.weights import formats

pytestmark = pytest.mark.generations

layers = keras.layers


def posteriors(path, method):
    """Computes the posteriors of a square photo at the model's input size, on which both methods see the whole."""
    protocol = TestProtocol(method, "32", flip=False)
    return Predictor(load_for_inference(path, protocol), protocol).posteriors(flower(32, 32))


def cut_before_softmax(compiled=False):
    model = small("A")
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    if compiled:
        scores.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return scores


@pytest.mark.parametrize("method", [CENTER_CROP, DENSE])
def test_scores_are_no_posteriors(method, tmp_path):
    cut_before_softmax().save(tmp_path / "scores.keras")
    message = (
        r"scores\.keras does not give posteriors .* but numbers from .*: it must end in a softmax, such as keras\."
    )
    with pytest.raises(UserError, match=message):
        posteriors(tmp_path / "scores.keras", method)
    # Descriptors do not need posteriors.
    assert load_for_inference(tmp_path / "scores.keras", TestProtocol(method, "32"), posteriors=False)


@pytest.mark.parametrize("method", [CENTER_CROP, DENSE])
def test_scores_that_the_loss_takes_get_a_softmax(method, tmp_path):
    model = cut_before_softmax(compiled=True)
    model.save(tmp_path / "scores.keras")
    expected = softmax(model(flower(32, 32)[np.newaxis].astype(np.float32)).numpy()[0])
    np.testing.assert_allclose(posteriors(tmp_path / "scores.keras", method), expected, atol=1e-5)


@pytest.mark.parametrize("method", [CENTER_CROP, DENSE])
def test_a_softmax_in_a_layer_of_its_own(method, tmp_path):
    scores = cut_before_softmax()
    model = keras.Model(scores.input, layers.Activation("softmax")(scores.output))
    model.save(tmp_path / "m.keras")
    expected = model(flower(32, 32)[np.newaxis].astype(np.float32)).numpy()[0]
    np.testing.assert_allclose(posteriors(tmp_path / "m.keras", method), expected, atol=1e-5)


def test_other_ends(tmp_path):
    scores = cut_before_softmax()
    keras.Model(scores.input, layers.Activation("sigmoid")(scores.output)).save(tmp_path / "sigmoid.keras")
    with pytest.raises(UserError, match=r"sigmoid\.keras does not give posteriors"):
        posteriors(tmp_path / "sigmoid.keras", DENSE)
    cooled = layers.Softmax()(layers.Rescaling(0.1)(scores.output))
    keras.Model(scores.input, cooled).save(tmp_path / "cooled.keras")
    assert posteriors(tmp_path / "cooled.keras", CENTER_CROP).sum() == pytest.approx(1)
    model = small("A")
    model.get_layer("fc8").set_weights([np.full((256, 5), np.nan), np.zeros(5)])
    saving.save_model(model, tmp_path / "nan.keras")
    with pytest.raises(UserError, match=r"nan\.keras gives outputs that are not numbers: its training diverged"):
        posteriors(tmp_path / "nan.keras", DENSE)


@pytest.mark.parametrize("nested", [False, True])
def test_layers_of_keras_applications_without_preprocessing(nested, tmp_path):
    model = keras_model(tiny_state())
    whole = keras.Sequential([keras.Input((32, 32, 3)), layers.RandomFlip(), model]) if nested else model
    whole.save(tmp_path / "m.keras")
    with pytest.raises(
        UserError, match=r"m\.keras is of keras\.applications and takes blue first, the mean subtracted"
    ):
        posteriors(tmp_path / "m.keras", CENTER_CROP)


@pytest.mark.parametrize("method", [CENTER_CROP, DENSE])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.skipif(not KERAS_3, reason="Keras 2 has no operations on the channels that a model can be saved with")
def test_preprocess_input_inside(nested, method, tmp_path):
    model = keras_model(tiny_state())
    inputs = keras.Input((32, 32, 3))
    outputs = keras.applications.vgg16.preprocess_input(inputs)
    for layer in [model] if nested else model.layers[1:]:
        outputs = layer(outputs)
    whole = keras.Model(inputs, outputs)
    whole.save(tmp_path / "m.keras")
    photo = flower(32, 32)[np.newaxis].astype(np.float32)
    expected = model(photo[..., ::-1] - np.float32([103.939, 116.779, 123.68])).numpy()[0]
    np.testing.assert_allclose(posteriors(tmp_path / "m.keras", method), expected, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_half_precision_computes_in_float32(policy, tmp_path):
    with keras_compat.global_policy(policy):
        model = keras_model(tiny_state(), [layers.Rescaling(1 / 255)])
    model.save(tmp_path / "half.keras")
    expected = keras_model(tiny_state(), [layers.Rescaling(1 / 255)])(flower(32, 32)[np.newaxis].astype(np.float32))
    for method in (CENTER_CROP, DENSE):
        np.testing.assert_allclose(posteriors(tmp_path / "half.keras", method), expected[0], atol=1e-5)
    assert formats.read_weights(str(tmp_path / "half.keras"), "A").net == "A"


def test_a_model_that_neither_scales_nor_shifts_is_told(tmp_path, capsys):
    keras_model(tiny_state(), names=False).save(tmp_path / "m.keras")
    with console.speaking(True):
        posteriors(tmp_path / "m.keras", CENTER_CROP)
    assert "m.keras neither scales its input nor subtracts a mean: it is shown RGB 0..255" in capsys.readouterr().err
