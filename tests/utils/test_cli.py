"""Tests flags, flag files and error messages."""

import dataclasses
import inspect
import re

import pytest
from absl import flags

from tests.helpers.flag_tables import VERBS, flag_row
from tests.helpers.paths import ROOT
from vgg_keras.evaluate import EvaluateOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, parse

FLAGS = [(verb, field) for verb, options in VERBS.items() for field in dataclasses.fields(options)]


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


@pytest.mark.parametrize(("verb", "field"), FLAGS, ids=lambda value: getattr(value, "name", value))
def test_every_flag_is_read_and_is_in_the_readme(verb, field):
    sources = "".join(
        path.read_text() for package in ("vgg_keras", "data_prep") for path in (ROOT / package).rglob("*.py")
    )
    # The options' own methods read it as an attribute of self.
    own = "".join(inspect.getsource(inspect.getmodule(cls)) for cls in VERBS[verb].__mro__ if cls is not object)
    read = re.search(rf"\b(config|options)\.{field.name}\b", sources) or re.search(rf"\bself\.{field.name}\b", own)
    assert read, f"nothing reads --{field.name}"
    row = flag_row(field)
    section = (ROOT / "README.md").read_text().partition(f"`python -m {verb}`\n")[2].partition("\n### ")[0]
    shared = (
        (ROOT / "README.md").read_text().partition("all verbs of `data_prep` that write\n")[2].partition("\n### ")[0]
    )
    assert row in (section if row in section else shared), row


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
