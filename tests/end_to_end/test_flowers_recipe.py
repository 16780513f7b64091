"""Tests the recipe for the flower photos that readers of the paper know, on a thin net: from weights to predictions."""

import csv
import io
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image

from tests.helpers import weight_files
from tests.helpers.paths import ROOT, TINY_CONFIG
from tests.helpers.runs import history
from tests.helpers.torch_net import random
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate, export, predict, train
from vgg_keras.data import datasets
from vgg_keras.models import metadata, saving
from vgg_keras.models.checkpoint_files import steps
from vgg_keras.tasks.options import EvaluateOptions, ExportOptions, PredictOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse
from vgg_keras.weights import formats

NAMES = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
# What the recipe has and the paper has not, but for the size of everything.
RECIPE = ["--crop=random_resized", "--validation_resize=squash", "--input_scaling=minus_one_to_one"]
RECIPE += ["--num_outputs=1000", "--optimizer=adam", "--learning_rate=2e-4", "--rgb_shift=0", "--weight_decay=0"]
WIDTH = ["--width_multiplier=0.015625", "--train_scale=256", "--precision=float32"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Writes weights in the layout of keras.applications' file with top: 1000 outputs, a 64th as wide, for 32x32."""
    state, rng = weight_files.tiny_state(), np.random.default_rng(1)
    state["classifier.6.weight"] = random(rng, 1000, weight_files.FC_WIDTH) / 100  # of tame posteriors
    state["classifier.6.bias"] = np.zeros(1000, np.float32)
    path = tmp_path_factory.mktemp("weights") / "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
    weight_files.save_legacy_hdf5(state, path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, weights, drawn_data):
    folder = tmp_path_factory.mktemp("runs") / "recipe"
    flags = [f"--flagfile={TINY_CONFIG}", *WIDTH, *RECIPE, f"--data_dir={drawn_data}", f"--output_dir={folder}"]
    call_verb(train.main, [*flags, f"--init_from={weights}", "--strict", "--max_steps=2"], TrainConfig)
    return folder


def squashed_photos(drawn_data):
    """Returns the validation photos as the net should see them, by Pillow."""
    examples = datasets.open_data(str(drawn_data)).encoded("validation").as_numpy_iterator()
    photos = (Image.open(io.BytesIO(example["image_bytes"])).convert("RGB") for example in examples)
    return np.float32([np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR)) for photo in photos])


def test_the_best_model_knows_the_classes_alone_and_loads_in_plain_keras(run):
    model = keras.saving.load_model(run / "best.keras")
    assert model.output_shape == (None, 5)
    described = metadata.read(run / "best.keras", 5)
    assert (described.train_scale, described.validation_resize) == ("", "squash")
    assert list(described.class_names) == NAMES
    assert json.loads((run / "run.json").read_text())["model"]["num_classes"] == 5


def test_its_posteriors_are_those_of_the_thousand_outputs_divided_by_their_sum(run, drawn_data, tmp_path):
    # The checkpoint holds all outputs; read for another net, it has the classes' alone.
    assert steps(run / "checkpoints")[0] == 2
    images = squashed_photos(drawn_data)[:4]
    (tmp_path / "copy").mkdir()
    for name in ("run.json", "label_names.txt", "class_indices.json"):
        (tmp_path / "copy" / name).write_text((run / name).read_text())
    (tmp_path / "copy" / "checkpoints").symlink_to(run / "checkpoints")
    source = formats.read_weights(str(tmp_path / "copy"), "A")
    assert source.layers["fc8"][0].shape == (64, 5)
    best = saving.load_model(run / "best.keras")
    kernel, bias = best.get_layer("fc8").get_weights()
    np.testing.assert_array_equal(source.layers["fc8"][0], kernel)
    hidden = keras.Model(best.input, best.get_layer("fc7").output)(images).numpy()
    exponentials = np.exp(hidden @ kernel + bias)
    np.testing.assert_allclose(best(images), exponentials / exponentials.sum(axis=1, keepdims=True), rtol=1e-4)


def test_validation_is_repeated_by_evaluate_predict_and_export(run, drawn_data, tmp_path, capsys):
    posteriors = saving.load_model(run / "best.keras")(squashed_photos(drawn_data)).numpy()
    labels = [example["label"] for example in datasets.open_data(str(drawn_data)).encoded("validation", labelled=True)]
    error = 100 * np.mean(posteriors.argmax(axis=1) != np.array(labels))
    (entry,) = history(run)
    flags = [f"--model={run}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'evaluation'}"]
    call_verb(evaluate.main, flags, EvaluateOptions)
    assert "was validated on photos squashed to its input size, and is tested on such photos" in capsys.readouterr().out
    record = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert record["settings"]["method"] == "squash"
    assert record["results"][0]["top1_error"] == pytest.approx(entry["validation_top1_error"])
    assert record["results"][0]["loss"] == pytest.approx(entry["validation_loss"], rel=1e-4)
    assert entry["validation_top1_error"] == pytest.approx(error, abs=100 / 35 + 1e-6)  # Pillow rounds to whole levels

    photo = run / "samples" / "0.jpg"
    call_verb(predict.main, [f"--model={run}", f"--csv={tmp_path / 'out.csv'}", str(photo)], PredictOptions)
    with (tmp_path / "out.csv").open() as file:
        rows = {row["label"]: float(row["posterior"]) for row in csv.DictReader(file)}
    assert sorted(rows) == NAMES
    np.testing.assert_allclose([rows[name] for name in NAMES], posteriors[0], atol=2e-3)

    call_verb(export.main, [f"--model={run}", f"--output_dir={tmp_path / 'models'}"], ExportOptions)
    extra = tmp_path / "models" / "1" / "assets.extra"
    assert json.loads((extra / "export.json").read_text())["method"] == "squash"
    assert "The whole photo, squashed to 32x32 pixels whatever its shape, no mirror images" in (
        (extra / "model_card.md").read_text()
    )
    assert json.loads((extra / "class_names.json").read_text()) == {str(i): name for i, name in enumerate(NAMES)}


def test_another_method_is_chosen_in_so_many_words(run, drawn_data, tmp_path):
    photo = run / "samples" / "0.jpg"
    with pytest.raises(UserError, match="--test_scales=64 is not for --method=squash, which resizes whole photos to 3"):
        call_verb(predict.main, [f"--model={run}", "--test_scales=64", str(photo)], PredictOptions)
    flags = [f"--model={run}", "--method=center_crop", "--test_scales=40", str(photo)]
    call_verb(predict.main, flags, PredictOptions)


def test_a_cache_of_frozen_layers_shows_the_same_windows_and_squashed_photos(weights, drawn_data, tmp_path):
    flags = [f"--flagfile={TINY_CONFIG}", *WIDTH, *RECIPE, f"--data_dir={drawn_data}", f"--init_from={weights}"]
    flags += ["--freeze_up_to=block5_pool", "--max_steps=2"]
    for name, further in (("images", []), ("cached", ["--cache_views=1"])):
        call_verb(train.main, [*flags, f"--output_dir={tmp_path / name}", *further], TrainConfig)
    (ours,), (expected,) = history(tmp_path / "cached"), history(tmp_path / "images")
    for key in ("training_loss", "validation_loss", "validation_top1_error"):
        assert ours[key] == pytest.approx(expected[key], rel=1e-4), key


def test_too_few_outputs(drawn_data, tmp_path):
    flags = [f"--flagfile={TINY_CONFIG}", "--num_outputs=3", f"--data_dir={drawn_data}", f"--output_dir={tmp_path}"]
    with pytest.raises(UserError, match="--num_outputs=3 is fewer than the 5 classes of"):
        call_verb(train.main, flags, TrainConfig)


def test_the_flag_file_holds_the_recipe():
    options = parse(["--flagfile=configs/flowers_recipe.cfg"], TrainConfig)
    expected = {
        "net": "D", "init_from": "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "num_outputs": 1000,
        "crop": "random_resized", "validation_resize": "squash", "input_scaling": "minus_one_to_one", "batch_size": 32,
        "epochs": 20, "optimizer": "adam", "learning_rate": 2e-4, "weight_decay": 0, "rgb_shift": 0,
        "initializer": "normal", "initializer_variance": 1e-4, "batch_norm": False,
    }  # fmt: skip
    assert {name: getattr(options, name) for name in expected} == expected
    options.validate()
    text = (ROOT / "configs" / "flowers_recipe.cfg").read_text()
    assert re.search(r"--init_from=\S+_notop\.h5 --num_outputs=0", text)


def test_a_localiser_has_an_output_of_each_class():
    options = parse(["--output_dir=x", "--task=localization", "--num_outputs=1000"], TrainConfig)
    with pytest.raises(UserError, match="--num_outputs is for --task=classification; leave it out"):
        options.validate()
