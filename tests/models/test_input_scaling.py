"""Tests nets whose first layer gives (x/255 - 0.5)/0.5, and the transfer of weights between them and the paper's."""

import keras
import numpy as np
import pytest

from tests.helpers.nets import small
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import fully_convolutional, saving, vgg
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.training import run_dir
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.progress import Progress
from vgg_keras.training.schedules import Plateau
from vgg_keras.weights import formats, transfer
from vgg_keras.weights.transfer import SourceWeights

pytestmark = pytest.mark.generations

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)


def scaled(**arguments):
    return small(input_scaling="minus_one_to_one", **arguments)


def outputs_of(model, layer):
    return keras.Model(model.input, model.get_layer(layer).output)(IMAGES).numpy()


def test_the_first_layer_scales():
    model = scaled(mean_rgb=(1, 2, 3))
    first = keras.Model(model.input, model.layers[1].output)
    np.testing.assert_allclose(first(IMAGES), (IMAGES / 255 - 0.5) / 0.5, atol=1e-6)
    assert vgg.begins_as_built(model)
    assert vgg.subtracted_mean_rgb(model) == (127.5, 127.5, 127.5)
    with pytest.raises(ValueError, match="input_scaling must be mean or minus_one_to_one, received 'x'"):
        small(input_scaling="x")


def test_plain_keras_loads_it_and_inference_takes_it_without_a_word(tmp_path, capsys):
    model = scaled()
    saving.save_model(model, tmp_path / "a.keras", ModelMetadata("A", "32"))
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "a.keras")(IMAGES), model(IMAGES), atol=1e-6)
    loaded = load_for_inference(tmp_path / "a.keras", TestProtocol())
    np.testing.assert_allclose(loaded.net(IMAGES), model(IMAGES), atol=1e-6)
    assert loaded.trained.net == "A"
    assert capsys.readouterr() == ("", "")
    scores = fully_convolutional.convert(loaded.net)(IMAGES)[:, 0, 0]
    np.testing.assert_allclose(scores, outputs_of(model, "fc8"), rtol=1e-4, atol=1e-5)


def test_its_weights_give_the_same_in_a_net_that_subtracts_a_mean():
    model = scaled()
    source = SourceWeights.from_model(model)
    target = small(mean_rgb=source.mean_rgb)
    assert transfer.transfer_weights(source, target).complete()
    np.testing.assert_allclose(target(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-6)
    again = scaled()
    transfer.transfer_weights(SourceWeights.from_model(target), again)
    np.testing.assert_allclose(again(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-6)


def test_published_weights_give_the_same_behind_it_but_for_the_border():
    source = small(mean_rgb=(123.68, 116.779, 103.939))
    target = scaled()
    assert transfer.transfer_weights(SourceWeights.from_model(source), target).complete()
    expected, found = outputs_of(source, "block1_conv1"), outputs_of(target, "block1_conv1")
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=2e-3 * expected.max())
    # Outside of the image lies a grey of 127.5 and not the mean, of which a kernel of 3x3 sees a row.
    kernel, _ = source.get_layer("block1_conv1").get_weights()
    difference = np.abs(found - expected).max()
    assert 0 < difference <= np.abs(kernel).sum(axis=(0, 1, 2)).max() * (127.5 - 103.939)


def test_the_checkpoint_of_a_run_knows_its_scaling(tmp_path):
    model = scaled()
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    flags = {"net": "A", "train_scale": "48", "input_size": 32, "batch_norm": False, "width_multiplier": 1 / 16}
    flags["input_scaling"] = "minus_one_to_one"
    run_dir.write_run_record(tmp_path, flags, {}, {"num_classes": 5, "mean_rgb": vgg.subtracted_mean_rgb(model)})
    checkpoints = Checkpoints(tmp_path, model, [optimizer], Progress(Plateau(1)))
    with checkpoints.writer:
        checkpoints.save(Progress(Plateau(1)))
    target = small(mean_rgb=(127.5,) * 3)
    transfer.transfer_weights(formats.read_weights(str(tmp_path), "A"), target)
    np.testing.assert_allclose(target(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-6)
