"""Tests the commands that are shown after a data set was written."""

import shlex
from collections import Counter
from pathlib import Path

import pytest

from data_prep import image_folder, imagenet, voc
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.summary import FROM_SCRATCH, DatasetSummary, Recipe, SplitSummary, print_summary
from tests.helpers.paths import ROOT
from tests.helpers.photos import encode, make_source
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.tasks.options import PretrainedOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import console
from vgg_keras.utils.options import parse


def arguments(recipe, options):
    """Returns what a recipe's command gives to its verb for a data set in data/x, checked."""
    python, flag, verb, *words = shlex.split(recipe.command(Path("data/x")))
    assert [python, flag, verb] == ["python", "-m", recipe.verb]
    parsed = parse(words, options)
    parsed.validate()
    return parsed


def test_a_folder_with_spaces_and_umlauts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    summary = write_dataset(
        make_source([("a", encode())]), PrepareOptions(output_dir="data/meine Blüten", num_workers=1)
    )
    with console.speaking(True):
        print_summary(summary, [Recipe("train", {"net": "A"}), Recipe("or", {}, "_2")])
    expected = [
        "train:  python -m vgg_keras.train --net=A --data_dir='data/meine Blüten' --output_dir='runs/meine Blüten'",
        "or:  python -m vgg_keras.train --data_dir='data/meine Blüten' --output_dir='runs/meine Blüten_2'",
    ]
    assert capsys.readouterr().out.splitlines()[-2:] == expected


def test_no_speed_of_a_split_that_was_finished_already():
    splits = {
        "train": SplitSummary(changes=Counter({"": 30}), seconds=2.0, num_kept=10),
        "validation": SplitSummary(changes=Counter({"": 5}), seconds=2.0, num_kept=5),
    }
    shown = DatasetSummary(make_source([("a", encode())]), splits, Path("x")).shown()
    (row,) = [row for row in shown.totals if row[0] == "images/s"]
    assert row == ("images/s", "10", "")


@pytest.mark.parametrize(
    ("recipe", "net", "run"),
    [(FROM_SCRATCH, "A", "x"), (image_folder._RECIPES[1], "A", "x_from_scratch"), (imagenet._RECIPE, "D", "x")],
)
def test_the_commands_parse_and_start_from_weights_that_learn(recipe, net, run):
    config = arguments(recipe, TrainConfig)
    assert (config.net, config.initializer) == (net, "glorot")
    assert (config.data_dir, config.output_dir) == ("data/x", f"runs/{run}")


def test_the_commands_for_boxes_and_for_several_labels_parse():
    classifier = arguments(voc._CLASSIFIER, TrainConfig)
    assert (classifier.output_dir, classifier.init_from) == ("runs/x_classifier", "keras_applications")
    for recipe, regions in ((voc._SEVERAL_LABELS, "image"), (voc._PERSONS, "image,box")):
        features = arguments(recipe, FeaturesOptions)
        assert (features.regions, features.output) == (regions, "evaluations/x/features.npz")
        pretrained = shlex.split(recipe.note.partition(":  ")[2])
        assert pretrained[:3] == ["python", "-m", "vgg_keras.pretrained"]
        assert parse(pretrained[3:], PretrainedOptions).output == features.model_paths()[0].as_posix()


@pytest.mark.skipif(not (ROOT / voc._LOCALIZER.flags["flagfile"]).exists(), reason="the flag file is not here yet")
def test_the_localizer_can_be_tested_with_the_classifier():
    classifier, localizer = (arguments(recipe, TrainConfig) for recipe in (voc._CLASSIFIER, voc._LOCALIZER))
    assert (localizer.task, localizer.output_dir) == ("localization", "runs/x")
    assert (classifier.net, classifier.input_size) == (localizer.net, localizer.input_size)


def test_image_folder_offers_imagenets_convolutions_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind in ("a", "b"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(20):
            (tmp_path / "photos" / kind / f"{number}.jpg").write_bytes(encode(seed=number))
    options = image_folder.ImageFolderOptions(output_dir="data/x", source_dir="photos", num_workers=1)
    with console.speaking(True):
        image_folder.main(options)
    first, note, second = capsys.readouterr().out.splitlines()[-3:]
    assert note.startswith("  without a network, fetch https://")
    assert "/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 elsewhere, and give the file as --init_from=" in note
    assert first == (
        "train on it from ImageNet's convolutions, which are downloaded:  python -m vgg_keras.train "
        "--flagfile=configs/my_photos.cfg --init_from=keras_applications --data_dir=data/x --output_dir=runs/x"
    )
    assert second == (
        "or from scratch:  python -m vgg_keras.train --flagfile=configs/flowers.cfg --data_dir=data/x "
        "--output_dir=runs/x_from_scratch"
    )
