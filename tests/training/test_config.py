"""Tests the settings of training and the shipped flag files."""

import dataclasses
import re

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.models.architectures import NETS
from vgg_keras.training.config import MAY_CHANGE, TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.cfg") if path.name != "base.cfg")


def test_the_papers_hyper_parameters_are_the_defaults_but_for_the_first_weights():
    options = parse(["--output_dir=x"], TrainConfig)
    expected = {
        "batch_size": 256, "momentum": 0.9, "weight_decay": 5e-4, "dropout": 0.5, "learning_rate": 1e-2, "epochs": 74,
        "optimizer": "sgd", "initializer": "glorot", "initializer_variance": 1e-2, "input_size": 224, "rgb_shift": 0.1,
        "train_scale": "256", "batch_norm": False, "width_multiplier": 1.0,
    }  # fmt: skip
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_parses_from_any_folder_and_opens_with_its_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse([f"--flagfile=configs/{name}"], TrainConfig)
    text = (ROOT / "configs" / name).read_text()
    assert text.startswith(f"# python -m vgg_keras.train --flagfile=configs/{name}\n")
    assert re.search(r"^# Time: .*Expected", text, re.MULTILINE)
    assert options.output_dir == f"runs/{name.removesuffix('.cfg')}"
    assert options.test_scale() >= options.input_size


def test_configs_cover_the_nets_and_the_scales_of_table_3():
    options = [parse([f"--flagfile=configs/{name}"], TrainConfig) for name in CONFIGS]
    runs = {(of_run.net, of_run.train_scale) for of_run in options}
    assert {(net, "256") for net in NETS} <= runs
    assert {(net, scale) for net in "CDE" for scale in ("384", "256,512")} <= runs


def test_a_jittered_net_starts_from_the_run_before_it():
    options = parse(["--flagfile=configs/vgg19_256_512.cfg"], TrainConfig)
    assert (options.net, options.init_from, options.learning_rate) == ("E", "runs/vgg19_384", 1e-3)
    assert options.data_dir == "data/imagenet"
    assert options.scale_range() == (256, 512)
    assert options.test_scale() == 384


@pytest.mark.parametrize("scale", ["", "x", "100", "512,256", "256,384,512"])
def test_illegal_scales(scale):
    with pytest.raises(UserError, match=f"--train_scale={scale} must be one side, or the smallest and the largest"):
        TrainConfig(output_dir="x", train_scale=scale).scale_range()


def test_flags_that_may_change_on_resume_exist():
    assert set(MAY_CHANGE) <= {field.name for field in dataclasses.fields(TrainConfig)}


def test_windows_of_random_size_have_no_training_scale():
    options = TrainConfig(output_dir="x", crop="random_resized", input_size=320)
    options.validate()
    assert (options.crop_scales(), options.known_train_scale(), options.test_scale()) == (None, "", 320)


@pytest.mark.parametrize(("flag", "value"), [("train_scale", "384"), ("cache_side", 256)])
def test_what_windows_of_random_size_do_not_have(flag, value):
    options = TrainConfig(output_dir="x", crop="random_resized", **{flag: value})
    with pytest.raises(UserError, match=f"--{flag}={value} is for --crop=random; .* leave --{flag} out"):
        options.validate()
