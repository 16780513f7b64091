"""Tests PASCAL VOC's result files."""

import tarfile
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.voc_records import ALL, write_like_tfds_voc
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation.voc_results import Submission
from vgg_keras.utils.errors import UserError


def manifest(names, *, box_key="", multi_label=True, classes=("cat", "dog"), split="test"):
    builder = SimpleNamespace(data_dir="data/x")
    data = SimpleNamespace(box_key=box_key, multi_label=multi_label, class_names=list(classes), builder=builder)
    return SimpleNamespace(data=data, split=split, names=names)


def test_the_files_of_the_classes():
    submission = Submission.plan("comp2", 2007, manifest(["000012.jpg", "000002.jpg"], split="validation"))
    assert submission.texts(np.array([[0.5, -1.25], [2.0, 1e-7]])) == {
        "results/VOC2007/Main/comp2_cls_val_cat.txt": "000002 2.000000000\n000012 0.500000000\n",
        "results/VOC2007/Main/comp2_cls_val_dog.txt": "000002 0.000000100\n000012 -1.250000000\n",
    }


def test_the_files_of_the_actions():
    names = ["2010_2.jpg#10", "2010_2.jpg#9", "2009_1.jpg#1"]
    submission = Submission.plan("comp9", 2012, manifest(names, box_key="box", classes=["jumping"]))
    (text,) = submission.texts(np.array([[1.0], [2.0], [3.0]])).items()
    assert text == (
        "results/VOC2012/Action/comp9_action_test_jumping.txt",
        "2009_1 1 3.000000000\n2010_2 9 2.000000000\n2010_2 10 1.000000000\n",
    )


def test_the_archive_holds_the_files(tmp_path):
    submission = Submission.plan("comp1", 2012, manifest(["a.jpg"]))
    archive = submission.write(np.array([[1.0, 2.0]]), tmp_path / "f_results")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    files = {path.relative_to(tmp_path / "unpacked") for path in (tmp_path / "unpacked").rglob("*.txt")}
    assert {str(path) for path in files} == {
        f"results/VOC2012/Main/comp1_cls_test_{name}.txt" for name in ("cat", "dog")
    }
    for path in files:
        assert (tmp_path / "unpacked" / path).read_bytes() == (archive.parent / path).read_bytes()
    before = archive.read_bytes()
    submission.write(np.array([[1.0, 2.0]]), tmp_path / "f_results")
    assert archive.read_bytes() == before


@pytest.mark.parametrize(
    ("tested", "message"),
    [
        (manifest(["a.jpg"], multi_label=False), r"is a competition about .*; data/x is no such data set$"),
        (
            manifest(["a.jpg"], box_key="box"),
            "is a competition about images of several labels; .*; for it there are comp9 and comp10$",
        ),
        (
            manifest(["a.jpg"], split="test[:5]"),
            r"the tested split test\[:5\] is none of VOC's sets; it must be one of tr",
        ),
        (manifest(["a.jpg", "a b.jpg"]), "the name 'a b.jpg' of an image is empty or has blanks"),
        (manifest([""]), "the name '' of an image is empty"),
        (manifest(["a.jpg"], classes=["cat/dog"]), "the class 'cat/dog' cannot be a part of a file's name"),
        (manifest(["a.jpg"], classes=["potted plant"]), "the class 'potted plant' cannot be a part"),
    ],
)
def test_what_cannot_stand_in_the_files(tested, message):
    with pytest.raises(UserError, match=f"^--voc_results=comp2.*{message}"):
        Submission.plan("comp2", 2012, tested)


def test_images_without_persons_are_for_other_competitions():
    with pytest.raises(UserError, match=r"comp10 is a competition about persons.*; for it there are comp1 and comp2$"):
        Submission.plan("comp10", 2012, manifest(["a.jpg"]))


def test_persons_whose_names_have_no_number():
    with pytest.raises(UserError, match=r"the name 'a\.jpg' of an image"):
        Submission.plan("comp10", 2012, manifest(["a.jpg"], box_key="box"))


def test_the_names_of_tfds_own_voc(tmp_path):
    data = write_like_tfds_voc(tmp_path, [(np.zeros((8, 8, 3), np.uint8), [(0, ALL, False)])] * 2)
    tested = SplitManifest.read(data, "train")
    assert tested.has_labels
    assert sorted(Submission.plan("comp2", 2007, tested).rows) == ["0", "1"]
