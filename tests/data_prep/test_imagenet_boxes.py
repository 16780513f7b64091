"""Tests the reading of ImageNet's box annotations, on small imitations of the official tars."""

import re
import tarfile

import pytest

from data_prep import imagenet
from data_prep.imagenet import ImageNetOptions
from tests.data_prep.test_voc import boxes, read
from tests.helpers.annotations import annotation_xml
from tests.helpers.photos import encode, make_tar
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError

TENCH, DEERHOUND, SNAKE = "n01440764", "n02092002", "n01751748"
# Edges 20 and 40 of 100 pixels, 10 and 20 of 50.
CORNERS, BOX = (20, 10, 40, 20), (0.2, 0.2, 0.4, 0.4)
TRAIN_XML = {
    # Two boxes, and one of another class.
    f"{TENCH}/{TENCH}_1.xml": annotation_xml([(TENCH, *CORNERS), (SNAKE, 1, 1, 9, 9), (TENCH, 0, 0, 100, 50)]),
    f"{TENCH}/{TENCH}_2.xml": annotation_xml([(SNAKE, *CORNERS)]),
    # Many annotations of dogs have the name in place of the synset. A box past the border, one reversed.
    f"{DEERHOUND}/{DEERHOUND}_1.xml": annotation_xml(
        [("Scottish_deerhound", 20, 10, 102, 20), ("Scottish_deerhound", 40, 10, 20, 20)]
    ),
    # An image that the tars do not hold.
    f"{DEERHOUND}/{DEERHOUND}_9.xml": annotation_xml([(DEERHOUND, *CORNERS)]),
}
# The first validation image is of n01751748; the second one has no annotation.
VAL_XML = {"val/ILSVRC2012_val_00000001.xml": annotation_xml([(SNAKE, *CORNERS)])}


@pytest.fixture
def tars(tmp_path):
    """Makes the official tars of photos in tars/."""
    folder = tmp_path / "tars"
    folder.mkdir()
    inner = []
    for synset, numbers in ((TENCH, (1, 2, 3)), (DEERHOUND, (1,))):
        photos = [(f"{synset}_{number}.JPEG", encode((100, 50), seed=number)) for number in numbers]
        inner.append((f"{synset}.tar", make_tar(tmp_path / "x.tar", photos).read_bytes()))
    make_tar(folder / "ILSVRC2012_img_train.tar", inner)
    names = [f"ILSVRC2012_val_{number:08}.JPEG" for number in (1, 2)]
    make_tar(folder / "ILSVRC2012_img_val.tar", [(name, encode((100, 50))) for name in names])
    make_tar(folder / "ILSVRC2012_img_test.tar", [("ILSVRC2012_test_00000001.JPEG", encode((100, 50)))])
    return folder


def as_distributed(folder):
    make_tar(folder / "ILSVRC2012_bbox_train_v2.tar.gz", TRAIN_XML.items(), "gz")
    make_tar(folder / "ILSVRC2012_bbox_val_v3.tgz", VAL_XML.items(), "gz")


def nested(folder):
    """Makes the release whose tar of training boxes holds a tar for each synset."""
    as_distributed(folder)
    inner = []
    for synset in (TENCH, DEERHOUND):
        files = [(f"Annotation/{name}", content) for name, content in TRAIN_XML.items() if name.startswith(synset)]
        inner.append((f"{synset}.tar", make_tar(folder / "x.tar", files).read_bytes()))
    (folder / "x.tar").unlink()
    make_tar(folder / "ILSVRC2012_bbox_train_v2.tar.gz", inner, "gz")


def unpacked(folder):
    as_distributed(folder)
    for path in list(folder.glob("*bbox*")):
        with tarfile.open(path) as tar:
            tar.extractall(folder / "unpacked", filter="data")
        path.unlink()


def run(tars, *arguments):
    flags = [f"--source_dir={tars}", f"--output_dir={tars.with_name('out')}", "--num_workers=1", *arguments]
    call_verb(imagenet.main, flags, ImageNetOptions)
    return tars.with_name("out")


@pytest.mark.parametrize("make", [as_distributed, nested, unpacked])
def test_images_get_the_boxes_of_their_class(tars, capsys, make):
    make(tars)
    out = run(tars, f"--boxes={tars}")
    train = read(out, "train")
    assert {name: boxes(example) for name, example in train.items()} == {
        f"{TENCH}_1.JPEG": [BOX, (0, 0, 1, 1)],
        f"{TENCH}_2.JPEG": [],
        f"{TENCH}_3.JPEG": [],
        f"{DEERHOUND}_1.JPEG": [(0.2, 0.2, 0.4, 1)],
    }
    assert train[f"{TENCH}_1.JPEG"]["objects"]["label"].tolist() == [0, 0]
    assert int(train[f"{DEERHOUND}_1.JPEG"]["label"]) == train[f"{DEERHOUND}_1.JPEG"]["objects"]["label"][0] == 177
    validation = read(out, "validation")
    assert boxes(validation["ILSVRC2012_val_00000001.JPEG"]) == [BOX]
    assert validation["ILSVRC2012_val_00000001.JPEG"]["objects"]["label"].tolist() == [65]
    assert boxes(validation["ILSVRC2012_val_00000002.JPEG"]) == []
    assert [boxes(example) for example in read(out, "test").values()] == [[]]
    printed = capsys.readouterr().out
    for row in (r"boxes +│ +3 │ +1 │ +0", r"clipped boxes +│ +1 │ +0 │ +0", r"boxes left out +│ +1 │ +0 │ +0"):
        assert re.search(row, printed)


def test_a_single_tar_and_none(tars):
    as_distributed(tars)
    with_boxes = imagenet.imagenet(tars, boxes=tars / "ILSVRC2012_bbox_val_v3.tgz")
    assert [bool(split.pieces.notes) for split in with_boxes.splits.values()] == [False, True, False]
    without = imagenet.imagenet(tars)
    assert not without.has_boxes
    assert without.splits["train"].pieces.digest() == with_boxes.splits["train"].pieces.digest()


def test_the_same_command_with_boxes_is_not_the_same_data_set(tars):
    as_distributed(tars)
    run(tars)
    with pytest.raises(UserError, match=r"another data set \(the boxes of train have changed; the boxes of validation"):
        run(tars, f"--boxes={tars}")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, r"--boxes=\S+ holds no XML files, nor tars of them with bbox in their names"),
        ({"val/photo.xml": b""}, r"bbox\.tar!val/photo\.xml: photo is not the name of an image of ILSVRC-2012"),
        ({f"{TENCH}_1.xml": b"text"}, rf"bbox\.tar!{TENCH}_1\.xml: it is no XML: .*; fetch the annotations again"),
        ({f"{TENCH}_9.xml": annotation_xml([(TENCH, *CORNERS)])}, r"--boxes=\S+ has no box for any image of \S+"),
    ],
)
def test_wrong_annotations(tars, tmp_path, files, problem):
    make_tar(tmp_path / "bbox.tar", files.items())
    with pytest.raises(UserError, match=problem):
        run(tars, f"--boxes={tmp_path / 'bbox.tar'}")


def test_two_versions_of_the_annotations(tars):
    unpacked(tars)
    second = tars / "v2" / f"{TENCH}_1.xml"
    second.parent.mkdir()
    second.write_bytes(TRAIN_XML[f"{TENCH}/{TENCH}_1.xml"])
    assert len(imagenet.imagenet(tars, boxes=tars).splits["train"].pieces.notes) > 0  # the same boxes again
    second.write_bytes(annotation_xml([(TENCH, 1, 1, 9, 9)]))
    with pytest.raises(UserError, match=rf"v2/{TENCH}_1\.xml: {TENCH}_1 has other boxes in another file; leave"):
        imagenet.imagenet(tars, boxes=tars)


def test_a_truncated_tar_and_a_missing_one(tars):
    as_distributed(tars)
    path = tars / "ILSVRC2012_bbox_train_v2.tar.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"bbox_train_v2\.tar\.gz is damaged or truncated"):
        run(tars, f"--boxes={path}")
    with pytest.raises(UserError, match=r"--boxes=\S+absent does not exist"):
        run(tars, f"--boxes={tars / 'absent'}")
