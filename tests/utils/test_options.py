"""Tests options: flags, flag files, Python arguments, and the messages about wrong ones."""

import inspect
import re
from pathlib import Path

import pytest

from tests.helpers import flag_tables
from tests.helpers.flag_tables import VERBS, minimal
from tests.helpers.paths import ROOT
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.tasks.options import EvaluateOptions, PredictOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import flag_fields, parse, require_one_path

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


def names_a_path(field) -> bool:
    """Returns whether an option is a path by its type or by its name."""
    usual = r"(.*_)?(dir|file|path|paths|folder|archive|output|source|model|photos|images|csv|json)"
    is_text = isinstance(field.default, (str, tuple))
    return is_text and (
        "PathLike" in str(field.type) or "os.PathLike" in str(field.type) or bool(re.fullmatch(usual, field.name))
    )


# What a verb needs besides so that a path may be given.
ALLOWING = {"vgg_keras.export": {"format": "tflite"}}
PATH_FLAGS = [(verb, field) for verb, field in FLAGS if names_a_path(field)]


def test_there_are_path_flags():
    assert len(PATH_FLAGS) >= 25
    # The workers of a data service are told by each training where its files lie.
    assert {verb for verb, _ in PATH_FLAGS} == VERBS.keys() - {"vgg_keras.data_service"}


@pytest.mark.parametrize(("verb", "field"), PATH_FLAGS, ids=lambda value: getattr(value, "name", value))
def test_every_path_is_one_of_this_machine(verb, field, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert field.metadata["path"], f"--{field.name} is not declared path=True"
    assert "PathLike" in str(field.type)
    options = VERBS[verb]

    def read(value):
        several = isinstance(field.default, tuple)
        arguments = {**minimal(options), **ALLOWING.get(verb, {}), field.name: value}
        found = getattr(options(**arguments), field.name)
        return found[0] if several else found

    assert read("~/x") == "/home/someone/x"
    assert read(Path("~") / "x") == "/home/someone/x"
    assert read("a:b/c d") == "a:b/c d"
    for url in ("gs://b/x", "s3://b/x", "http://h/x", "hdfs://h/x", "file:///x", "gs:/b/x"):
        with pytest.raises(UserError, match=rf"^--{field.name}={url} is a URL; only files and folders of this machine"):
            read(url)
    with pytest.raises(UserError, match="holds a null character"):
        read("a\0b")


def test_paths_in_flag_files_are_expanded_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.cfg").write_text("--output_dir=~/run\n--export_dir='~/my models'\n")
    options = parse(["--flagfile=~/a.cfg"], TrainConfig)
    assert (options.output_dir, options.export_dir) == (f"{tmp_path}/run", f"{tmp_path}/my models")
    (tmp_path / "a.cfg").write_text("--output_dir=gs://bucket/run\n")
    for flag, message in (
        ("~/a.cfg", "--output_dir=gs://bucket/run is a URL"),
        ("s3://b/a.cfg", "--flagfile=s3://b/a.cfg is"),
    ):
        with pytest.raises(UserError, match=message):
            parse([f"--flagfile={flag}"], TrainConfig)


WRITTEN = [(verb, field) for verb, field in FLAGS if field.metadata["output"]]


def test_every_output_is_declared():
    outputs = {(verb, field.name) for verb, field in FLAGS if re.match("(output|export|csv|json)", field.name)}
    assert {(verb, field.name) for verb, field in WRITTEN} == outputs - {("vgg_keras.features", "output_layer")}


@pytest.mark.parametrize(("verb", "field"), WRITTEN, ids=lambda value: getattr(value, "name", value))
def test_outputs_are_checked_before_the_work_begins(verb, field, tmp_path):
    (tmp_path / "file").touch()
    options = VERBS[verb]

    def check(value):
        options(**{**minimal(options), field.name: value}).check_outputs()

    check(tmp_path / "new" / "folder" / "x")
    for value, message in (
        (tmp_path / "file" / "x", rf"--{field.name}={tmp_path}/file/x: {tmp_path}/file exists and is a file"),
        (
            tmp_path / ("n" * 230),
            rf"--{field.name}: the name nnn.* has 230 bytes; choose one of at most",
        ),
        (Path(*["name"] * 1000), rf"--{field.name}: the path has .* bytes; choose a shorter one"),
    ):
        with pytest.raises(UserError, match=message):
            check(value)


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


def test_a_repeated_flag_replaces_its_values_in_a_flag_file(tmp_path):
    (tmp_path / "base.cfg").write_text("--model=a --model b --data_dir=x --classifier=c")
    (tmp_path / "next.cfg").write_text("--flagfile=base.cfg\n--model=d\n--model=e\n")
    base, following = (f"--flagfile={tmp_path / name}.cfg" for name in ("base", "next"))
    assert parse([base, "--output_dir=y"], EvaluateOptions).model == ("a", "b")
    assert parse([following, "--output_dir=y"], EvaluateOptions).model == ("d", "e")
    for arguments in (["--model=f"], ["-model", "f"], ["--model", "f"]):
        options = parse([following, *arguments, "--output_dir=y"], EvaluateOptions)
        assert (options.model, options.classifier, options.data_dir) == (("f",), ("c",), "x")
    several = parse(["--model=f", base, "--model=g", "--output_dir=y"], EvaluateOptions)
    assert several.model == ("f", "g")


def test_the_flag_file_that_a_run_wrote_resumes_it(tmp_path):
    (tmp_path / "flags.cfg").write_text(f"--dataset=drawn_flowers\n--output_dir={tmp_path}\n")
    options = parse([f"--flagfile={tmp_path / 'flags.cfg'}", "--resume"], TrainConfig)
    assert options.flagfiles == (tmp_path / "flags.cfg",)
    options.check_outputs()


def test_a_model_among_the_files_of_the_run_that_it_begins_is_refused(tmp_path):
    (tmp_path / "best.keras").touch()
    for init_from in (tmp_path, tmp_path / "best.keras"):
        with pytest.raises(
            UserError, match=r"best\.keras is one of the inputs, and would overwrite it; choose another"
        ):
            TrainConfig(output_dir=tmp_path, init_from=init_from).check_outputs()


def test_the_file_beside_the_descriptors_overwrites_no_input(tmp_path):
    (tmp_path / "run.json").touch()
    flags = {"model": tmp_path, "data_dir": "absent", "output": tmp_path / "run.npz"}
    FeaturesOptions(**flags).check_outputs()
    with pytest.raises(UserError, match=r"^--output=.*run\.json is one of the inputs, and would overwrite it"):
        FeaturesOptions(**flags, classifier=True).check_outputs()


@pytest.mark.parametrize(
    ("arguments", "options_class", "message"),
    [
        (["--model=A", "--model=B", "x.jpg"], PredictOptions, "--model is given twice, as A and as B; it takes one"),
        (["-model", "A", "--top=2", "--model", "B"], PredictOptions, "--model is given twice, as A and as B"),
        (
            ["--output_dir=a", "--flagfile=configs/quickstart.cfg", "--output_dir=b"],
            TrainConfig,
            "--output_dir is given twice, as a and as b",
        ),
        (["--verbosity", "1", "--data_dir=a", "--data_dir=b"], TrainConfig, "--data_dir is given twice"),
    ],
)
def test_a_second_path_of_a_flag_that_takes_one_is_refused(arguments, options_class, message):
    with pytest.raises(UserError, match=message):
        require_one_path(arguments, options_class)


def test_flags_that_may_be_repeated():
    require_one_path(["--model=A", "--model=B"], EvaluateOptions)  # which fuses them
    require_one_path(["--model=A", "--model=A", "x.jpg", "y.jpg"], PredictOptions)
    # What a flag file says is changed by what stands after it.
    files = ["--flagfile=configs/quickstart.cfg", "--flagfile", "configs/vgg16.cfg"]
    require_one_path([*files, "--epochs=7", "--noresume"], TrainConfig)
    # Of what is no path the last value counts.
    require_one_path(["--epochs=1", "--epochs=2", "--resume", "--noresume"], TrainConfig)
    # Others explain what is wrong with these.
    require_one_path(["--no_such_flag=1", "--epochs=many"], TrainConfig)
