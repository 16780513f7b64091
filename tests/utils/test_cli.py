"""Tests flags, flag files and error messages."""

import dataclasses
import re

import pytest
from absl import flags

from tests.helpers.flag_tables import VERBS, flag_row
from tests.helpers.paths import ROOT
from vgg_keras.evaluate import EvaluateOptions
from vgg_keras.models.vgg import NETS
from vgg_keras.training.config import MAY_CHANGE, TrainConfig
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, parse

CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.cfg") if path.name != "base.cfg")
FLAGS = [(verb, field) for verb, options in VERBS.items() for field in dataclasses.fields(options)]


def test_the_papers_hyper_parameters_are_the_defaults():
    options = parse(["--output_dir=x"], TrainConfig)
    expected = {
        "batch_size": 256, "momentum": 0.9, "weight_decay": 5e-4, "dropout": 0.5, "learning_rate": 1e-2, "epochs": 74,
        "optimizer": "sgd", "initializer": "normal", "initializer_variance": 1e-2, "input_size": 224, "rgb_shift": 0.1,
        "train_scale": "256", "batch_norm": False, "width_multiplier": 1.0,
    }  # fmt: skip
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_parses_from_any_folder_and_opens_with_its_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse([f"--flagfile=configs/{name}"], TrainConfig)
    text = (ROOT / "configs" / name).read_text()
    assert text.startswith(f"# python -m vgg_keras.train --flagfile=configs/{name}\n")
    assert re.search(r"^# Hours: .*Expected", text, re.MULTILINE)
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


def test_what_stands_later_on_the_line_wins():
    options = parse(["--batch_size=1", "--flagfile=configs/quickstart.cfg", "--epochs=7"], TrainConfig)
    assert (options.batch_size, options.epochs) == (32, 7)


def test_flag_files_beside_the_including_one_come_first(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "base.cfg").write_text("--net=B  # a comment, and it's not closed\n\n--data_dir='a b'\n")
    (tmp_path / "mine" / "run.cfg").write_text("--flagfile=base.cfg\n--output_dir=x\n")
    monkeypatch.chdir(tmp_path)
    options = parse(["--flagfile", "mine/run.cfg"], TrainConfig)
    assert (options.net, options.data_dir) == ("B", "a b")


def test_missing_and_circular_flag_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"flag file nowhere\.cfg not found; looked for nowhere\.cfg, "):
        parse(["--flagfile=nowhere.cfg"], TrainConfig)
    (tmp_path / "loop.cfg").write_text("--flagfile=loop.cfg\n")
    with pytest.raises(UserError, match=r"loop\.cfg includes itself"):
        parse(["--flagfile=loop.cfg"], TrainConfig)


@pytest.mark.parametrize("flag", ["--net=F", "--batch_size=0", "--dropout=1.5", "--nonsense=1", "--initializer=zeros"])
def test_illegal_values(flag):
    with pytest.raises(flags.Error):
        parse(["--output_dir=x", flag], TrainConfig)


def test_flags_that_are_repeated_and_flags_that_are_left_open():
    options = parse(["--model=a", "--output_dir=x", "--model=b,c"], EvaluateOptions)
    assert (options.model, options.flip) == (("a", "b,c"), None)
    for flag, expected in (("--flip", True), ("--noflip", False), ("--flip=false", False)):
        assert parse(["--model=a", "--output_dir=x", flag], EvaluateOptions).flip is expected
    with pytest.raises(flags.Error, match="--model must have a value"):
        parse(["--output_dir=x"], EvaluateOptions)


@pytest.mark.parametrize("scale", ["", "x", "100", "512,256", "256,384,512"])
def test_illegal_scales(scale):
    with pytest.raises(UserError, match=f"--train_scale={scale} must be one side, or the smallest and the largest"):
        TrainConfig(train_scale=scale).scale_range()


@pytest.mark.parametrize(("verb", "field"), FLAGS, ids=lambda value: getattr(value, "name", value))
def test_every_flag_is_read_and_is_in_the_readme(verb, field):
    sources = "".join(
        path.read_text() for package in ("vgg_keras", "data_prep") for path in (ROOT / package).rglob("*.py")
    )
    assert re.search(rf"\b(config|options|self)\.{field.name}\b", sources), f"nothing reads --{field.name}"
    row = flag_row(field)
    section = (ROOT / "README.md").read_text().partition(f"`python -m {verb}`\n")[2].partition("\n### ")[0]
    shared = (
        (ROOT / "README.md").read_text().partition("all verbs of `data_prep` that write\n")[2].partition("\n### ")[0]
    )
    assert row in (section if row in section else shared), row


def test_flags_that_may_change_on_resume_exist():
    assert set(MAY_CHANGE) <= {field.name for field in dataclasses.fields(TrainConfig)}


@pytest.mark.multiprocess
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--flagfile=absent.cfg"], "error: flag file absent.cfg not found"),
        (["--output_dir=x", "stray"], "error: unexpected arguments: stray"),
        (["--output_dir=x", "--data_dir=absent"], "error: --data_dir=absent holds no TFDS data set"),
        (["--output_dir=x", "--train_scale=100"], "error: --train_scale=100 must be one side"),
        (["--output_dir=x", "--init_from=absent.keras", "--dataset=drawn_flowers"], "error: absent.keras is missing"),
        ([], "--output_dir"),
    ],
)
def test_bad_input_gives_one_line_and_a_non_zero_exit(run_verb, arguments, message):
    code, _, stderr = run_verb("vgg_keras.train", *arguments)
    assert code != 0
    assert message in stderr
    assert "Traceback" not in stderr


def test_reasons_leave_tensorflows_names_out():
    error = ValueError(
        "{{function_node __wrapped__DecodeImage_device_/job:x/CPU:0}} Unknown format. [Op:DecodeImage]\nmore"
    )
    assert cli.reason(error) == "Unknown format."
    assert cli.reason(ValueError()) == "ValueError"


def test_the_disk_is_full():
    for error in (OSError(28, "No space left on device"), RuntimeError("x; No space left on device")):
        assert cli.explain(error).startswith("the disk is full")
    assert cli.explain(RuntimeError("a bug")) is None
