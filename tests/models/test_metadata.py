"""Tests the metadata inside `.keras` files."""

import json
import zipfile

import keras
import numpy as np
import pytest

from vgg_keras.data.labels import label_files
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import metadata, saving
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.vgg import build
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations

KNOWN = ModelMetadata("A", "48,64", ("n1", "n2", "n3"), ("Gänse", "a, b", "tulip"))


@pytest.fixture(scope="module")
def model():
    return build("A", 3, input_size=32, width_multiplier=1 / 16)


def test_a_file_that_is_copied_alone_knows_its_labels(model, tmp_path):
    (tmp_path / "run").mkdir()
    saving.save_model(model, tmp_path / "run" / "best.keras", KNOWN)
    alone = tmp_path / "elsewhere.keras"
    alone.write_bytes((tmp_path / "run" / "best.keras").read_bytes())
    loaded = load_for_inference(alone, TestProtocol())
    assert loaded.label_names == ["Gänse", "a, b", "tulip"]
    assert loaded.test_scales == (56,)  # the middle of 48 and 64
    assert loaded.trained.net == "A"


def test_plain_keras_reads_the_file(model, tmp_path):
    saving.save_model(model, tmp_path / "a.keras", KNOWN)
    with zipfile.ZipFile(tmp_path / "a.keras") as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == sorted(set(file.namelist()))
        content = json.loads(file.read("metadata.json"))
    assert content["keras_version"] == keras.__version__
    assert content["vgg_keras"]["label_names"] == ["Gänse", "a, b", "tulip"]
    for ours, theirs in zip(
        model.get_weights(), keras.saving.load_model(tmp_path / "a.keras").get_weights(), strict=True
    ):
        assert np.array_equal(ours, theirs)


def test_files_without_metadata_take_it_from_the_run(model, tmp_path):
    model.save(tmp_path / "best.keras")
    assert metadata.read(tmp_path / "best.keras", 3) == ModelMetadata(class_names=[], label_names=[])
    for name, text in label_files(KNOWN.class_names, KNOWN.label_names).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "run.json").write_text('{"flags": {"train_scale": "64,48"}}')
    found = metadata.read(tmp_path / "best.keras", 3)
    assert (found.train_scale, found.class_names) == ("48,64", ["n1", "n2", "n3"])
    assert found.label_names == ["Gänse", "a, b", "tulip"]


def test_unknown_scale_and_labels(model, tmp_path):
    saving.save_model(model, tmp_path / "a.keras")
    loaded = load_for_inference(tmp_path / "a.keras", TestProtocol())
    assert loaded.test_scales == (32,)  # the side of its input
    assert loaded.label_names == ["class 0", "class 1", "class 2"]
    with pytest.raises(UserError, match="does not tell the scale that it was trained at, on which --test_scales=multi"):
        load_for_inference(tmp_path / "a.keras", TestProtocol(test_scales="multi"))


def test_metadata_that_does_not_fit(model, tmp_path):
    saving.save_model(model, tmp_path / "a.keras", ModelMetadata(label_names=("one", "two")))
    with pytest.raises(UserError, match=r"a\.keras names 2 classes, the model has 3"):
        metadata.read(tmp_path / "a.keras", 3)


def test_the_outputs_of_a_localiser_are_four_for_each_class_or_for_all(model, tmp_path):
    for kind, outputs in (("pcr", 12), ("scr", 4)):
        saving.save_model(model, tmp_path / "a.keras", ModelMetadata(label_names=("a", "b", "c"), box_regression=kind))
        assert metadata.read(tmp_path / "a.keras", outputs).label_names == ["a", "b", "c"]
    saving.save_model(model, tmp_path / "a.keras", ModelMetadata(label_names=("a", "b"), box_regression="pcr"))
    with pytest.raises(UserError, match=r"a\.keras names 2 classes, the model has 3"):
        metadata.read(tmp_path / "a.keras", 12)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ([], r"vgg_keras is \[\], should be a dictionary"),
        (None, r"vgg_keras is null, should be a dictionary"),
        ({"label_names": None}, r"vgg_keras\.label_names is null, should be a list"),
        ({"label_names": "abc"}, r'vgg_keras\.label_names is "abc", should be a list'),
        ({"label_names": ["a", 2, "c"]}, r"vgg_keras\.label_names\[1\] is 2, should be a text"),
        ({"class_names": ["a", "b", "a"]}, "class_names holds a name twice"),
        ({"train_scale": 256}, r"vgg_keras\.train_scale is 256, should be a training scale"),
        ({"train_scale": "large"}, r'vgg_keras\.train_scale is "large", should be a training scale'),
    ],
)
def test_damaged_metadata(damaged, message, model, tmp_path):
    write_member(model, tmp_path / "a.keras", damaged)
    with pytest.raises(UserError, match=rf"a\.keras.* is damaged: {message}"):
        metadata.read(tmp_path / "a.keras", 3)


def test_metadata_of_a_newer_version(model, tmp_path):
    write_member(model, tmp_path / "a.keras", {"net": "A", "invented_later": 1})
    assert metadata.read(tmp_path / "a.keras", 3) == ModelMetadata("A")


def write_member(model, path, content):
    """Saves a model with any content in the place of its metadata."""
    model.save(path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["metadata.json"] = json.dumps({**json.loads(members["metadata.json"]), "vgg_keras": content}).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
