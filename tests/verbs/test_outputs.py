"""Tests that every verb refuses an output that it could not write, before it begins to work."""

import importlib
import re

import pytest

from tests.helpers.flag_tables import VERBS
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import flag_fields

# Flags that name what a verb writes.
_OUTPUTS = ("output_dir", "output", "csv", "json", "export_dir")
_ENDS = {"vgg_keras.features": ".npz", "vgg_keras.pretrained": ".keras"}
# What else each verb needs to get as far as its outputs; nothing of it exists, so that a verb that begins fails.
_OTHERS = {
    "data_prep.flowers": ["--archive=absent.tgz"],
    "data_prep.imagenet": ["--source_dir=."],
    "data_prep.image_folder": ["--source_dir=absent"],
    "data_prep.voc": ["--source_dir=absent"],
    "vgg_keras.train": ["--data_dir=absent"],
    "vgg_keras.evaluate": ["--data_dir=absent", "--model=absent"],
    "vgg_keras.report": ["--evaluations_dir=."],
    "vgg_keras.predict": ["--model=absent", "photo.jpg"],
    "vgg_keras.features": ["--data_dir=absent", "--model=absent"],
    "vgg_keras.pretrained": ["--source=absent.h5"],
    "vgg_keras.export": ["--model=absent"],
    "vgg_keras.reproduce": [],
}
CASES = [
    (verb, field.name) for verb, options in VERBS.items() for field in flag_fields(options) if field.name in _OUTPUTS
]


def test_the_verbs_that_write():
    assert {verb for verb, _ in CASES} == _OTHERS.keys()
    for verb, name in CASES:
        (field,) = [field for field in flag_fields(VERBS[verb]) if field.name == name]
        assert field.metadata["output"], (verb, name)


@pytest.mark.parametrize(("verb", "flag"), CASES)
@pytest.mark.parametrize("problem", ["below a file", "too long"])
def test_an_output_that_cannot_be_written(verb, flag, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "photo.jpg").touch()
    for tar in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        (tmp_path / tar).touch()
    path = ("file/out" if problem == "below a file" else "x" * 230) + _ENDS.get(verb, "")
    needed = [f"--output_dir={tmp_path / 'ok'}"] if verb == "vgg_keras.train" and flag != "output_dir" else []
    message = f"--{flag}={path}: file exists and is a file" if problem == "below a file" else f"--{flag}: the name xxx"
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        call_verb(importlib.import_module(verb).main, [*_OTHERS[verb], *needed, f"--{flag}={path}"], VERBS[verb])
    assert not (tmp_path / "ok").exists()


@pytest.mark.parametrize(
    ("verb", "flag", "main_file", "more"),
    [
        ("vgg_keras.train", "export_dir", "saved_model.pb", [f"--flagfile={TINY_CONFIG}"]),
        ("vgg_keras.export", "output_dir", "saved_model.pb", []),
        ("vgg_keras.export", "output_dir", "model.onnx", ["--format=onnx"]),
    ],
)
def test_versions_of_another_format_are_told_before_the_work_begins(verb, flag, main_file, more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "versions" / "1").mkdir(parents=True)
    needed = [*_OTHERS[verb], *more, *(["--output_dir=run"] if verb == "vgg_keras.train" else [])]
    message = f"^versions/1 holds no {main_file}: it is of another format; choose another --{flag}$"
    with pytest.raises(UserError, match=message):
        call_verb(importlib.import_module(verb).main, [*needed, f"--{flag}=versions"], VERBS[verb])
    assert [path.name for path in tmp_path.iterdir()] == ["versions"]
