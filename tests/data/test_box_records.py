"""Tests which boxes are read from the layouts of TFDS's "voc" and of data_prep, and how damaged ones are told."""

import re

import numpy as np
import pytest
import tensorflow as tf

from data_prep import verify
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.objects import Object, Placed
from data_prep.sources import Source
from data_prep.verify import VerifyOptions
from tests.helpers.photos import encode, make_split
from tests.helpers.verbs import call_verb
from tests.helpers.voc_records import ALL, CLASSES, LEFT, RIGHT, write_like_tfds_voc
from vgg_keras.data import box_records, datasets
from vgg_keras.utils.errors import UserError

# What the objects of each image of class 1, "dog", are, and the boxes that count.
OF_DOGS = [
    ([Object(1, LEFT), Object(0, RIGHT), Object(1, ALL)], [LEFT, ALL]),
    ([Object(1, LEFT, True), Object(1, RIGHT)], [RIGHT]),
    ([Object(1, ALL, True)], []),
    ([], []),
]


def annotate(piece, prepared):
    return Placed(OF_DOGS[int(piece.key)][0])


def make_data(folder, annotate=annotate, label=1):
    """Writes the images of OF_DOGS with data_prep."""
    images = [(str(number), encode(seed=number)) for number in range(len(OF_DOGS))]
    split = make_split(images, label, annotate=annotate)
    source = Source("dogs", "Test.", CLASSES, CLASSES, {"train": split, "validation": split})
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1), allow_empty_classes=True)
    return folder


def read_boxes(data):
    """Reads {name: (boxes, labels of the boxes)} of the training split."""
    return boxes_by_name(data.encoded("train", boxes=True))


def boxes_by_name(examples):
    examples = examples.as_numpy_iterator()
    return {e["name"].decode(): (list(map(tuple, e["boxes"].tolist())), e["box_labels"].tolist()) for e in examples}


def test_boxes_of_the_images_own_label(tmp_path):
    data = datasets.open_data(make_data(tmp_path / "data"))
    assert data.has_boxes
    expected = {str(number): (some, [1] * len(some)) for number, (_, some) in enumerate(OF_DOGS)}
    assert read_boxes(data) == expected
    reader = data.record_reader("train", labelled=True, boxes=True)
    assert boxes_by_name(tf.data.Dataset.range(len(OF_DOGS)).map(reader)) == expected
    spec = data.encoded("train", boxes=True).element_spec
    assert (spec["boxes"].dtype, spec["boxes"].shape.as_list()) == (tf.float32, [None, 4])
    assert "boxes" not in data.encoded("train").element_spec
    # Without a label of its own an image has no boxes.
    assert set(map(str, read_boxes(datasets.open_data(make_data(tmp_path / "none", label=-1))).values())) == {
        "([], [])"
    }


def test_drawn_flowers_have_boxes_and_data_sets_without_are_refused(drawn_data, tmp_path):
    data = datasets.open_data(drawn_data)
    for example in data.encoded("validation", boxes=True).as_numpy_iterator():
        assert example["boxes"].shape in ((1, 4), (2, 4))
        assert set(example["box_labels"]) == {example["label"]}
    plain = datasets.open_data(make_data(tmp_path / "plain", annotate=None))
    assert not plain.has_boxes
    with pytest.raises(
        UserError, match=r"plain holds no boxes; prepare it from annotated photos, such as by data_prep\.v"
    ):
        plain.encoded("train", boxes=True)


def test_the_layout_of_tfds_voc(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    data = write_like_tfds_voc(
        tmp_path,
        [(pixels, [(1, LEFT, False), (0, RIGHT, True), (1, ALL, True)]), (pixels, []), (pixels, [(2, RIGHT, False)])],
    )
    assert data.has_boxes
    examples = list(data.encoded("train", boxes=True).as_numpy_iterator())
    # A label that only difficult objects give an image is -1: it counts neither as right nor as wrong.
    found = {tuple(e["label"]): (list(map(tuple, e["boxes"].tolist())), e["box_labels"].tolist()) for e in examples}
    assert found == {(-1, 1, 0): ([LEFT], [1]), (0, 0, 0): ([], []), (0, 0, 1): ([RIGHT], [2])}
    data.require_labels("train")
    call_verb(verify.main, [f"--data_dir={tmp_path}"], VerifyOptions)


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        (
            [Object(1, (0.5, 0.0, 0.25, 0.5))],
            r"record \d has a box with ymin=0\.5, xmin=0, ymax=0\.25, xmax=0\.5, which is",
        ),
        ([Object(1, LEFT), Object(1, (0.5, 0.5, 0.5, 1.0))], "which is empty or not inside the image"),
        ([Object(1, (0.0, 0.0, 1.0, 1.5))], r"xmax=1\.5, which is empty or not inside the image"),
        ([Object(1, (-0.25, 0.0, 1.0, 1.0))], r"ymin=-0\.25"),
        ([Object(1, (float("nan"), 0.0, 1.0, 1.0))], "ymin=nan"),
        ([Object(1, LEFT), Object(7, LEFT)], r"record \d has a box of label 7, of 3 classes \(0\)"),
        ([Object(0, LEFT), Object(2, LEFT)], r"record \d has label 1, and no box of it among its 2 \(0\)"),
    ],
)
def test_wrong_boxes_in_records(tmp_path, monkeypatch, capsys, objects, problem):
    monkeypatch.setitem(globals(), "OF_DOGS", [(objects, []), *OF_DOGS[1:]])
    folder = make_data(tmp_path / "data")
    with pytest.raises(UserError, match="2 problems in 8 records"):
        call_verb(verify.main, [f"--data_dir={folder}"], VerifyOptions)
    assert len(re.findall(problem, capsys.readouterr().err)) == 2  # once in each split


def test_boxes_and_labels_of_other_numbers():
    features = box_records.parsed_features("objects")
    values = {
        "objects/bbox": tf.train.Feature(float_list=tf.train.FloatList(value=[0, 0, 1, 1, 0, 0, 1])),
        "objects/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 1])),
    }
    record = tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()
    example = tf.io.parse_single_example(record, features)
    assert box_records.box_problem(example, "objects", [1], 3) == "has 1.75 boxes and 2 labels of boxes"
