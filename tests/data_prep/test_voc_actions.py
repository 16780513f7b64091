"""Tests the reading of PASCAL VOC's action task, and what the records of its persons hold."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import verify, voc, voc_actions
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.objects import Placed
from data_prep.verify import VerifyOptions
from data_prep.voc import VocOptions
from tests.helpers.annotations import annotation_xml, write_actions, write_voc
from tests.helpers.photos import encode
from tests.helpers.verbs import call_verb
from vgg_keras.data import datasets
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.utils.errors import UserError

# Columns 21 to 40 and rows 11 to 20 of a photo of 100x50 pixels: the edges 20 and 40 of 100, and 10 and 20 of 50.
LEFT, LEFT_BOX = (21, 11, 40, 20), (0.2, 0.2, 0.4, 0.4)
# Columns 51 to 100 of all rows.
RIGHT, RIGHT_BOX = (51, 1, 100, 50), (0.0, 0.5, 1.0, 1.0)
OBJECTS = {
    # The object in between is no person; the numbers of the lists count it.
    "train": {"a1": [("person", *LEFT), ("horse", *LEFT), ("person", *RIGHT)], "a2": [("person", *RIGHT)]},
    "val": {"b1": [("person", *RIGHT)]},
}
LABELS = {
    "train": {
        ("a1", 1): {"jumping": 1, "reading": 1, "other": -1},
        ("a1", 3): {"jumping": 0, "reading": -1, "other": -1},
        ("a2", 1): {"jumping": -1, "reading": -1, "other": 1},
    },
    "val": {("b1", 1): {"jumping": 1, "reading": 0, "other": -1}},
}


def make(root, objects=OBJECTS, labels=LABELS):
    write_voc(root, objects)
    write_actions(root, labels)
    return root


def run(source_dir, *arguments):
    out = source_dir.with_name("out")
    flags = ["--task=actions", f"--source_dir={source_dir}", f"--output_dir={out}", "--num_workers=1", *arguments]
    call_verb(voc.main, flags, VocOptions)
    return out


def read(folder, split):
    """Reads a split with TFDS alone: {file name: its record as a dictionary}."""
    dataset = tfds.builder_from_directory(folder).as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()})
    return {example["file_name"].decode(): example for example in dataset.as_numpy_iterator()}


def test_a_record_for_each_person(tmp_path, capsys):
    out = run(make(tmp_path / "voc"))
    train = read(out, "train")
    assert {name: example["box"].tolist() for name, example in train.items()} == {
        "a1.jpg#1": pytest.approx(LEFT_BOX),
        "a1.jpg#3": pytest.approx(RIGHT_BOX),
        "a2.jpg#1": pytest.approx(RIGHT_BOX),
    }
    labels = {name: (one["labels"].tolist(), one["labels_no_difficult"].tolist()) for name, one in train.items()}
    # "other" is no class; a person who cannot be judged counts neither for the action nor against it.
    assert labels == {"a1.jpg#1": ([0, 1], [0, 1]), "a1.jpg#3": ([0], []), "a2.jpg#1": ([], [])}
    assert train["a1.jpg#1"]["image"] == train["a1.jpg#3"]["image"] == encode((100, 50), seed=0)
    assert (out / "label_names.txt").read_text() == "jumping\nreading\n"
    data = datasets.open_data(out, multi_label=True)
    manifest = SplitManifest.read(data, "train")
    rows = dict(zip(manifest.names, manifest.labels.tolist(), strict=True))
    assert rows == {"a1.jpg#1": [1, 1], "a1.jpg#3": [-1, 0], "a2.jpg#1": [0, 0]}
    assert "vgg_keras.train" not in capsys.readouterr().out
    call_verb(verify.main, [f"--data_dir={out}"], VerifyOptions)
    run(tmp_path / "voc")
    assert "is there already" in capsys.readouterr().out


def test_verify_looks_at_the_boxes_of_persons(tmp_path, capsys, monkeypatch):
    # A writer that makes a mistake.
    monkeypatch.setattr(voc_actions.PersonPlacer, "__call__", lambda *_: Placed([], box=(0.5, 0.2, 0.5, 0.4)))
    source = voc_actions.actions(make(tmp_path / "voc"), "x")
    write_dataset(source, PrepareOptions(output_dir=str(tmp_path / "out"), num_workers=1), allow_empty_classes=True)
    with pytest.raises(UserError, match="4 problems in 4 records"):
        call_verb(verify.main, [f"--data_dir={tmp_path / 'out'}"], VerifyOptions)
    printed = " ".join(capsys.readouterr().err.split())
    assert "has a box with ymin=0.5, xmin=0.2, ymax=0.5, xmax=0.4, which is empty or not inside" in printed


def test_a_test_set_without_labels(tmp_path):
    objects = OBJECTS | {"test": {"c1": [("person", *LEFT), ("horse", *LEFT), ("person", *RIGHT)]}}
    root = make(tmp_path / "voc", objects, LABELS | {"test": {("c1", 1): {}}})
    test = read(run(root), "test")
    # The list names the image alone, so that all persons of its annotation are meant.
    assert {name: one["box"].tolist() for name, one in test.items()} == {
        "c1.jpg#1": pytest.approx(LEFT_BOX),
        "c1.jpg#3": pytest.approx(RIGHT_BOX),
    }
    assert [one["labels"].tolist() for one in test.values()] == [[], []]


def test_actions_of_the_annotations_where_no_list_tells_them(tmp_path):
    does = {"jumping": True, "reading": False}
    objects = {
        "train": {"a1": [("person", *LEFT), ("person", *RIGHT, does)], "a2": [("person", *LEFT, {"reading": True})]},
        "val": {"b1": [("person", *LEFT, does)]},
    }
    root = make(tmp_path / "voc", objects, {"train": {("a1", 1): {}, ("a2", 1): {}}, "val": {("b1", 1): {}}})
    train = read(run(root), "train")
    # A person without actions is not of this task. That the annotation of a2 is silent about jumping leaves it open.
    labels = {name: (one["labels"].tolist(), one["labels_no_difficult"].tolist()) for name, one in train.items()}
    assert labels == {"a1.jpg#2": ([0], [0]), "a2.jpg#1": ([0, 1], [1])}


def replace(what, content):
    def change(root):
        path = root / what
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)

    return change


ACTION = "ImageSets/Action"
FAULTS = {
    "no list": (
        lambda root: (root / ACTION).rename(root / "x"),
        r"Action: there is no such folder; --task=actions needs the lists",
    ),
    "no training list": (
        lambda root: [path.unlink() for path in (root / ACTION).glob("*train.txt")],
        r"Action has no list of the train split, such as train\.txt or jumping_train\.txt",
    ),
    "not UTF-8": (replace(f"{ACTION}/jumping_val.txt", b"\xff"), r"jumping_val\.txt is not UTF-8 text"),
    # The other list of the split names the same persons.
    "empty list": (
        replace(f"{ACTION}/jumping_train.txt", b""),
        r"jumping_train\.txt names no person; restore .*; to do without jumping, remove its lists of all",
    ),
    "no number": (
        replace(f"{ACTION}/jumping_val.txt", b"\nb1 one 1\n"),
        r"jumping_val\.txt, line 2: 'b1 one 1' should be the name of an image, the number of an object",
    ),
    "a name with blanks": (
        replace(f"{ACTION}/jumping_val.txt", b"my photo 1 1\n"),
        r"line 1: 'my photo 1 1' should be .* label 1, -1 or 0; a name with blanks cannot stand there: rename such",
    ),
    "number 0": (replace(f"{ACTION}/jumping_val.txt", b"b1 0 1\n"), r"line 1: 'b1 0 1' should be .* 1, -1 or 0$"),
    "another label": (replace(f"{ACTION}/jumping_val.txt", b"b1 1 2\n"), r"line 1: 'b1 1 2' should be"),
    "four columns": (replace(f"{ACTION}/jumping_val.txt", b"b1 1 1 1\n"), r"line 1: 'b1 1 1 1' should be"),
    "a row without its label": (
        replace(f"{ACTION}/jumping_train.txt", b"a1 1 1\na1 3\na2 1 -1\n"),
        r"jumping_train\.txt, line 2: 'a1 3' has no label, unlike those before it; give the label in all",
    ),
    "twice": (replace(f"{ACTION}/jumping_val.txt", b"b1 1 1\nb1 1 -1\n"), r"line 2: 'b1 1 -1' is there twice"),
    "shared": (
        replace(f"{ACTION}/jumping_val.txt", b"a1 1 1\n"),
        r"jumping_train\.txt and jumping_val\.txt share 1 image, such as a1",
    ),
    "no such object": (
        replace(f"{ACTION}/jumping_val.txt", b"b1 2 1\n"),
        r"b1\.xml: it has 1 object, and jumping_val\.txt names number 2; mend it, or leave out such images",
    ),
    "no annotation": (replace("Annotations/b1.xml", None), r"b1\.xml: missing, and jumping_val\.txt names it"),
    "no photo": (replace("JPEGImages/b1.jpg", None), r"JPEGImages/b1: missing, and jumping_val\.txt names it"),
    "wrong actions": (
        replace(
            "Annotations/b1.xml",
            annotation_xml([("person", *LEFT, {"jumping": True})]).replace(b">1</jum", b">yes</jum"),
        ),
        r"b1\.xml: its actions/jumping is 'yes', should be 0 or 1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named(tmp_path, fault):
    damage, problem = FAULTS[fault]
    root = make(tmp_path / "voc")
    damage(root)
    with pytest.raises(UserError, match=problem) as caught:
        voc_actions.actions(root, "x")
    assert "\n" not in str(caught.value)


def test_images_that_cannot_be_used_are_left_out(tmp_path):
    root = make(tmp_path / "voc")
    (root / "Annotations" / "a1.xml").write_bytes(annotation_xml([("person", *LEFT)]))
    source = voc_actions.actions(root, "x", [].append, skip_bad_images=True)
    # Of the two persons of a1, one is there; the image is left out as a whole.
    assert [piece.key for piece in source.splits["train"].pieces] == ["a2.jpg#1"]
    assert source.left_out == ["train\ta1\ta1.xml: it has 1 object, and jumping_train.txt names number 3"]


def test_a_box_that_is_wrong_is_told_with_its_person(tmp_path):
    root = make(tmp_path / "voc")
    (root / "Annotations" / "a2.xml").write_bytes(annotation_xml([("person", 90, 11, 120, 20)]))
    out = run(root, "--skip_bad_images")
    assert re.match(r"train\ta2\.jpg#1\ta2\.xml: the box with xmin=90", (out / "bad_images.txt").read_text())


def test_a_box_past_the_border_is_cut(tmp_path):
    root = make(tmp_path / "voc")
    (root / "Annotations" / "a2.xml").write_bytes(annotation_xml([("person", 51, 0, 103, 50)]))
    np.testing.assert_allclose(read(run(root), "train")["a2.jpg#1"]["box"], RIGHT_BOX)
