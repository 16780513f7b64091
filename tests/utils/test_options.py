"""Tests options: flags, flag files, Python arguments, and the messages about wrong ones."""

import inspect
import re
from pathlib import Path

import pytest

from tests.helpers import flag_tables
from tests.helpers.flag_tables import VERBS
from tests.helpers.paths import ROOT
from vgg_keras.tasks.options import EvaluateOptions, PredictOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import flag_fields, parse

FLAGS = [(verb, field) for verb, options in VERBS.items() for field in flag_fields(options)]


def test_what_stands_later_on_the_line_wins():
    options = parse(["--batch_size=1", "--flagfile=configs/quickstart.cfg", "--epochs=7"], TrainConfig)
    assert (options.batch_size, options.epochs) == (32, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--net=F"], "--net=F must be one of A, A-LRN, B, C, D, E, B-5x5"),
        (["--initializer=glorto"], "--initializer=glorto must be one of glorot, normal, he; did you mean glorot?"),
        (["--batch_size=0"], "--batch_size=0 must be at least 1"),
        (["--batch_size=2.5"], "--batch_size=2.5 must be a whole number"),
        (["--batch_size=many"], "--batch_size='many' must be a whole number"),
        (["--dropout=1.5"], "--dropout=1.5 must be at least 0 and at most 0.99"),
        (["--learning_rate=nan"], "--learning_rate=nan must be a finite number"),
        (["--learning_rate=inf"], "--learning_rate=inf must be a finite number"),
        (["--lr=0.1"], "--lr is not a flag of this verb; did you mean --learning_rate?"),
        (["--epoch=2"], "--epoch is not a flag of this verb; did you mean --epochs?"),
        (["--xyzzy=1"], "--xyzzy is not a flag of this verb; --help lists them all"),
        (["--flagfile=configs/vgg_16.cfg"], "did you mean --flagfile=configs/vgg16.cfg?"),
        (["configs/vgg16.cfg"], "unexpected argument: configs/vgg16.cfg; did you mean --flagfile=configs/vgg16.cfg?"),
        (["stray"], "unexpected argument: stray; every option is a flag, --name=value"),
        (["--output_dir="], "--output_dir is missing: the run's folder"),
    ],
)
def test_what_is_wrong_is_named_with_the_way_out(arguments, message):
    with pytest.raises(UserError) as caught:
        parse(["--output_dir=x", *arguments], TrainConfig)
    assert message in str(caught.value)


def test_python_arguments_are_checked_like_flags():
    options = TrainConfig(output_dir=Path("runs") / "x", net="VGG16", learning_rate=1)
    assert (options.output_dir, options.net, options.learning_rate) == ("runs/x", "D", 1.0)
    assert options == parse(["--output_dir=runs/x", "--net=vgg16", "--learning_rate=1"], TrainConfig)
    assert TrainConfig(output_dir="x", train_scale=(256, 512)).scale_range() == (256, 512)
    assert TrainConfig(output_dir="x", train_scale=256).scale_range() == (256, 256)
    clipped = TrainConfig(output_dir="x", optimizer_args={"global_clipnorm": 1})
    assert clipped.optimizer_arguments() == {"global_clipnorm": 1}
    assert EvaluateOptions(model=Path("a"), output_dir="x").model == ("a",)
    assert EvaluateOptions(model=["a", Path("b")], output_dir="x").model == ("a", "b")
    for arguments, message in (
        ({"batch_size": 2.0}, "--batch_size=2.0 must be a whole number"),
        ({"batch_size": True}, "--batch_size=True must be a whole number"),
        ({"resume": 1}, "--resume=1 must be True or False"),
        ({"net": 16.0}, "--net=16.0 must be a text"),
        ({"verbose": "no"}, "verbose='no' must be True or False"),
        ({"learning_rate": 10**400}, "--learning_rate=inf must be a finite number"),
        ({"output_dir": ""}, "--output_dir is missing"),
    ):
        with pytest.raises(UserError) as caught:
            TrainConfig(**{"output_dir": "x", **arguments})
        assert message in str(caught.value)


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    options = parse(["--model=~/run", "~/photos", "--csv=~a"], PredictOptions)
    assert (options.model, options.paths, options.csv) == ("/home/someone/run", ("/home/someone/photos",), "~a")


def test_flags_that_are_repeated_and_flags_that_are_left_open():
    options = parse(["--model=a", "--output_dir=x", "--model=b,c"], EvaluateOptions)
    assert (options.model, options.flip) == (("a", "b,c"), None)
    for flag, expected in (("--flip", True), ("--noflip", False), ("--flip=false", False)):
        assert parse(["--model=a", "--output_dir=x", flag], EvaluateOptions).flip is expected
    with pytest.raises(UserError, match="--model is missing"):
        parse(["--output_dir=x"], EvaluateOptions)


@pytest.mark.parametrize(("verb", "field"), FLAGS, ids=lambda value: getattr(value, "name", value))
def test_every_flag_is_read(verb, field):
    sources = "".join(
        path.read_text() for package in ("vgg_keras", "data_prep") for path in (ROOT / package).rglob("*.py")
    )
    # The options' own methods read it as an attribute of self.
    own = "".join(inspect.getsource(inspect.getmodule(cls)) for cls in VERBS[verb].__mro__ if cls is not object)
    read = re.search(rf"\b(config|options)\.{field.name}\b", sources) or re.search(rf"\bself\.{field.name}\b", own)
    assert read, f"nothing reads --{field.name}"


def test_the_page_of_flags_has_every_flag():
    assert flag_tables.FLAGS_PAGE.read_text(encoding="utf-8") == flag_tables.page(), (
        "run python -m tests.helpers.flag_tables"
    )
