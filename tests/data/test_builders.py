"""Tests that a data set is found, and that the message says what to do where there is none."""

import re

import pytest

from vgg_keras.data.builders import open_builder
from vgg_keras.utils.errors import UserError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Changes to a new folder, which is the home folder too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def touch(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def refused(message, *arguments):
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        open_builder(*arguments)


def test_a_data_set_somewhere_below_the_folder(place, drawn_data):
    (place / "data").mkdir()
    (place / "data" / "flowers").symlink_to(drawn_data)
    assert open_builder("~/data/flowers").info.splits["validation"].num_examples == 35
    assert open_builder(str(drawn_data.parent)).info.splits["train"].num_examples == 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "name the data: --data_dir=FOLDER, or --dataset=NAME for one of tensorflow-datasets"),
        (("absent",), "--data_dir=absent does not exist"),
        (("file",), "--data_dir=file is a file; name the folder of a data set"),
        (
            ("empty",),
            "--data_dir=empty holds no TFDS data set; python -m data_prep.flowers (imagenet, image_folder, voc) "
            "writes one",
        ),
        (
            ("", "tf_flower"),
            "--dataset=tf_flower: tensorflow-datasets has no data set tf_flower; did you mean tf_flowers?",
        ),
        (
            ("absent", "tf_flower:3.0.1"),
            "--dataset=tf_flower:3.0.1: tensorflow-datasets has no data set tf_flower; did you mean tf_flowers?",
        ),
        (("", "qqqq"), "--dataset=qqqq: tensorflow-datasets has no data set qqqq"),
        (("", "empty"), "--dataset=empty is a folder; give it as --data_dir=empty"),
    ],
)
def test_data_that_is_not_there(place, arguments, message):
    (place / "empty").mkdir()
    (place / "file").touch()
    refused(message, *arguments)


def test_other_errors_of_tfds_are_one_line(place):
    with pytest.raises(UserError, match=r"^cannot open the data set tf_flowers:9\.9\.9: .*only: 3\.0\.1") as caught:
        open_builder(str(place), "tf_flowers:9.9.9")
    assert "\n" not in str(caught.value)


def test_several_data_sets_in_one_folder(place):
    touch(place, "x/a/dataset_info.json", "x/b/dataset_info.json")
    refused("--data_dir=x holds 2 data sets (x/a, x/b); give one of them as --data_dir", "x")


@pytest.mark.parametrize(
    ("files", "flags"),
    [
        (("my Blüten/rose/1.jpg", "my Blüten/tulip/1.jpg"), "--source_dir='my Blüten' --output_dir='data/my Blüten'"),
        # One level too high, and divided into splits.
        (
            [f"my Blüten/x/{split}/{kind}/1.jpg" for split in ("train", "val") for kind in ("a", "b")],
            "--source_dir='my Blüten/x' --output_dir=data/x",
        ),
        # The name is taken.
        (
            ("my Blüten/rose/1.jpg", "my Blüten/tulip/1.jpg", "data/my Blüten/x"),
            "--source_dir='my Blüten' --output_dir='data/my Blüten_records'",
        ),
    ],
)
def test_a_folder_of_photos(place, files, flags):
    touch(place, *files)
    refused(
        "--data_dir=my Blüten holds photos, and no data set yet; make one, and give its folder as --data_dir:  "
        f"python -m data_prep.image_folder {flags}",
        "my Blüten",
    )


def test_photos_with_annotations(place):
    touch(place, "devkit/VOC2007/JPEGImages/1.jpg", "devkit/VOC2007/Annotations/1.xml")
    refused(
        "--data_dir=devkit holds photos, and no data set yet; make one, and give its folder as --data_dir:  "
        "python -m data_prep.voc --source_dir=devkit/VOC2007 --output_dir=data/VOC2007",
        "devkit",
    )


def test_photos_that_are_no_classes_are_no_reason_for_a_command(place):
    touch(place, "photos/1.jpg", "photos/2.jpg")
    with pytest.raises(UserError, match="holds no TFDS data set"):
        open_builder("photos")
