"""Tests the reading of folders with a subfolder for each class."""

import pytest

from data_prep.image_folder import image_folder
from data_prep.sources import assign_split
from tests.helpers.photos import encode
from vgg_keras.utils.errors import UserError


def fill(folder, names, count=3):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(encode(seed=number))
    return folder


def test_splits_by_itself(tmp_path):
    source = image_folder(fill(tmp_path, ("b", "a"), 40), "", 0.25, "x")
    assert source.class_names == ["a", "b"]
    keys = {split: {raw.key for raw in source.splits[split]()} for split in source.splits}
    assert len(keys["train"] | keys["validation"]) == 80
    assert all(assign_split(key, 0.25) == split for split, some in keys.items() for key in some)


def test_takes_a_split_folder_as_it_is_and_tells_what_it_passes_over(tmp_path):
    for split in ("train", "validation"):
        fill(tmp_path / split, ("a", "b"))
    (tmp_path / "train" / "a" / "notes.txt").touch()
    notes = []
    source = image_folder(tmp_path, "", 0.1, "x", notes.append)
    assert dict(source.num_images) == {"train": 6, "validation": 6}
    assert "passed over 1 files that are not images by name, such as a/notes.txt" in notes[0]


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="absent is not a folder"):
        image_folder(tmp_path / "absent", "", 0.1, "x")
    with pytest.raises(UserError, match="no class folders"):
        image_folder(tmp_path, "", 0.1, "x")
    fill(tmp_path, ("a",), 2)
    with pytest.raises(UserError, match="the validation split would be empty; change --validation_fraction"):
        image_folder(tmp_path, "", 0.0, "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images of class empty"):
        image_folder(tmp_path, "", 0.1, "x")
