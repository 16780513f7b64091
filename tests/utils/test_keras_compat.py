"""Tests that Keras 2.15 and Keras 3 read each other's files and train alike; runs on both."""

import importlib.util
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import generation_files
from tests.helpers.paths import ROOT
from vgg_keras.models import saving
from vgg_keras.models.vgg import build
from vgg_keras.training import checkpoints, freezing, optimizers, run_dir, schedules, train_step
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.progress import Progress
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import KERAS_3

pytestmark = pytest.mark.generations
# Both Keras generations gave these posteriors of the images of `generation_files`, to all digits.
POSTERIORS = [
    [0.2173221, 0.0576622, 0.4735573, 0.1428723, 0.1085861],
    [0.2159700, 0.0576027, 0.4765839, 0.1410498, 0.1087936],
]
SGD = optimizers.OptimizerConfig("sgd", 1e-4, 0.9)
# Losses of ten steps, which are the same in both generations.
LOSSES = [
    3.941979, 3.459858, 5.778458, 12.143769, 11.004506, 4.918057, 11.600366, 14.169173, 11.402692, 9.987359,
]  # fmt: skip


def ten_losses(choice=SGD, *, between=lambda *_: None, first=0, last=10):
    """Trains net A for up to ten steps with weight decay and dropout, on random pixels and weights of NumPy.

    Args:
        choice: the optimizer.
        between: function that is called before each step with the `TrainStep` and the index of the step.
        first: index of the first step.
        last: index after the last step.

    Returns:
        The loss of each step.
    """
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = build("A", 5, input_size=32, width_multiplier=1 / 32, dropout=0.5, weight_decay=5e-4)
        model.set_weights(generation_files.weights(model, vectors=0.02))
        made = optimizers.make_optimizers(choice, freezing.trained_layers(model, ""))
    step_config = train_step.StepConfig(batch_size=8, micro_batch_size=4, seed=3)
    compiled = train_step.TrainStep(model, made, strategy, step_config)
    rng, losses = np.random.default_rng(2), []
    for step in range(10):
        batch = {
            "image": tf.constant(rng.uniform(0, 255, (8, 32, 32, 3)), tf.float32),
            "label": tf.constant(rng.integers(0, 5, 8), tf.int32),
            "row": tf.range(8),
        }
        if first <= step < last:
            between(compiled, step)
            losses.append(float(compiled.train(batch, step)[0]) / 8)
    return losses


def test_ten_steps_have_the_same_losses():
    np.testing.assert_allclose(ten_losses(), LOSSES, rtol=1e-4)


@pytest.mark.parametrize("path", generation_files.FILES, ids=lambda path: path.stem)
def test_a_keras_file_of_either_generation_loads(path):
    model = saving.load_model(path)
    for received, expected in zip(model.get_weights(), generation_files.small_model().get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    np.testing.assert_allclose(model(generation_files.images()), POSTERIORS, rtol=1e-4)
    fresh = generation_files.small_model()
    assert [layer.name for layer in model.layers] == [layer.name for layer in fresh.layers]
    assert model.name == fresh.name
    # The weight penalty and the dropout rates are loaded too.
    np.testing.assert_allclose(tf.add_n(model.losses), tf.add_n(fresh.losses), rtol=1e-6)
    assert model.get_layer("fc6_dropout").rate == 0.5


def test_a_file_is_known_by_its_generation():
    found = [keras_compat.is_foreign(path) for path in generation_files.FILES]
    assert found == ([True, False] if KERAS_3 else [False, True])


def test_a_model_that_is_no_chain_has_to_stay_in_its_generation(tmp_path, monkeypatch):
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Add()([keras.layers.ReLU(name="a")(inputs), keras.layers.ReLU(name="b")(inputs)])
    keras.Model(inputs, outputs).save(tmp_path / "branched.keras")
    monkeypatch.setattr(keras_compat, "is_foreign", lambda _: True)
    with pytest.raises(
        UserError, match=r"branched\.keras is not a .* loaded: it is no chain of layers: b does not follow a"
    ):
        saving.load_model(tmp_path / "branched.keras")


def test_a_run_of_the_other_generation_is_not_continued(tmp_path):
    other = "2.15.0" if KERAS_3 else "3.12.0"
    options = TrainConfig(net="A", epochs=3, output_dir=tmp_path, resume=True)
    run_dir.write_run_record(tmp_path, options.flags(), {}, {})
    record = json.loads((tmp_path / "run.json").read_text())
    record["versions"]["keras"] = other
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"run with Keras {other}, this is Keras .*--init_from={tmp_path}"):
        run_dir.require_usable(options)


def naming(path, activation, folder):
    """Copies a `.keras` file, with another name for FC6's activation; returns the copy."""
    copy = folder / "named.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                (fc6,) = [layer for layer in config["config"]["layers"] if layer["config"]["name"] == "fc6"]
                fc6["config"]["activation"] = activation
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return copy


def test_a_file_with_an_object_of_addons(tmp_path):
    path = naming(generation_files.OWN, "Addons>softshrink", tmp_path)
    if importlib.util.find_spec("tensorflow_addons"):
        # A new process, in which tensorflow-addons has not been imported.
        script = "import sys; from pathlib import Path; from vgg_keras.models import saving\n"
        script += f"model = saving.load_model(Path({str(path)!r}))\n"
        script += "print(model.get_layer('fc6').activation.__name__)"
        process = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert process.stdout.splitlines()[-1] == "softshrink"
    else:
        with pytest.raises(UserError, match=r"Addons>softshrink is of tensorflow-addons .* 'vgg_keras\[addons\]'"):
            saving.load_model(path)


def test_an_optimizer_of_addons_goes_on_from_a_checkpoint(tmp_path):
    pytest.importorskip("tensorflow_addons", reason="tensorflow-addons works with TensorFlow 2.15 alone")
    choice = optimizers.OptimizerConfig("Addons>LAMB", 1e-3, arguments={"weight_decay": 1e-2})
    whole = ten_losses(choice)
    progress = Progress(schedules.Plateau(patience=1))

    def checkpoint(compiled):
        return checkpoints.Checkpoints(tmp_path, compiled.model, compiled.optimizers.members, progress)

    def save(compiled, step):
        if step == 4:
            saved = checkpoint(compiled)
            with saved.writer:
                saved.save(progress)

    def restore(compiled, step):
        if step == 4:
            checkpoint(compiled).restore("0")

    assert ten_losses(choice, between=save, last=6) == whole[:6]
    # The checkpoint is restored into a new net and a new optimizer.
    assert ten_losses(choice, between=restore, first=4) == whole[4:]
