"""Tests the reading of folders with a subfolder for each class."""

import os
import re
import shutil
from hashlib import sha256

import pytest

from data_prep import image_folder as verb
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.image_folder import ImageFolderOptions, image_folder
from data_prep.sources import choose_validation
from tests.helpers.photos import encode, read
from vgg_keras.utils.errors import UserError


def fill(folder, names, count=3):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(encode(seed=number))
    return folder


def counts(source):
    return {name: len(split.pieces) for name, split in source.splits.items()}


def refused(folder, message, **arguments):
    """Asserts that a folder is refused with a message, in which FOLDER stands for its path."""
    with pytest.raises(UserError) as caught:
        image_folder(folder, "", 0.1, "x", lambda note: None, **arguments)
    assert str(caught.value).replace(str(folder), "FOLDER") == message


def test_splits_by_itself(tmp_path):
    source = image_folder(fill(tmp_path, ("b", "a"), 40), "", 0.25, "x")
    assert source.class_names == ["a", "b"]
    keys = {split: {piece.key for piece in some.pieces} for split, some in source.splits.items()}
    assert len(keys["train"] | keys["validation"]) == 80
    # Of each class the quarter of the keys with the lowest SHA-256.
    for kind in ("a", "b"):
        own = sorted((f"{kind}/{number}.jpg" for number in range(40)), key=lambda key: sha256(key.encode()).hexdigest())
        assert {key for key in keys["validation"] if key.startswith(kind)} == set(own[:10])


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    # Halves are rounded to the even number: 0.1 * 25 = 2.5.
    [(0.1, 1000, 100), (0.1, 25, 2), (0.1, 26, 3), (0.1, 2, 1), (0.1, 1, 0), (0.9, 4, 3), (0.0, 9, 0), (1.0, 9, 9)],
)
def test_the_fraction_of_each_class(fraction, count, expected):
    keys = [f"a/{number}.jpg" for number in range(count)]
    chosen = choose_validation([*(("a", key) for key in keys), ("b", "b/0.jpg"), ("b", "b/1.jpg")], fraction)
    assert len(chosen & set(keys)) == expected


def test_equal_names_in_all_classes_are_divided_each_on_its_own(tmp_path):
    kinds = [f"{kind:02}" for kind in range(12)]
    source = image_folder(fill(tmp_path, kinds, 10), "", 0.1, "x")
    held_out = [piece.key for piece in source.splits["validation"].pieces]
    assert [key.partition("/")[0] for key in held_out] == kinds
    assert len({key.partition("/")[2] for key in held_out}) > 1


def test_names_that_are_not_text(tmp_path):
    fill(tmp_path, ("a", "b"))
    for name in (b"caf\xe9.jpg", b"line\nbreak.jpg", "Blüte.jpg".encode()):
        (tmp_path / "a" / os.fsdecode(name)).write_bytes(encode())
    notes = []
    source = image_folder(tmp_path, "", 0.1, "x", notes.append)
    write_dataset(source, PrepareOptions(output_dir=str(tmp_path / "out"), num_workers=1))
    keys = [key for split in source.splits for key in read(tmp_path / "out", split) if key.startswith("a")]
    expected = ["a/0.jpg", "a/1.jpg", "a/2.jpg", "a/Blüte.jpg", "a/caf\\xe9.jpg", "a/line\\nbreak.jpg"]
    assert sorted(keys) == expected
    assert notes == [f"{tmp_path}: names that are not text are stored with escapes: 2, such as a/caf\\xe9.jpg"]
    shutil.rmtree(tmp_path / "out")
    for name in (b"B\xfctte", b"\x1b[31m", "\u202ered".encode()):
        fill(tmp_path, (os.fsdecode(name),))
    message = (
        "FOLDER: 3 class folders cannot name a class, since control characters or bytes that are not UTF-8 are in the "
        "name: B\\xfctte, \\u202ered, \\x1b[31m; rename them"
    )
    refused(tmp_path, message)


@pytest.mark.parametrize(("train", "validation"), [("train", "validation"), ("Training", "val"), ("TRAIN", "valid")])
def test_takes_a_divided_folder_as_it_is_and_tells_what_it_passes_over(tmp_path, train, validation):
    fill(tmp_path / train, ("a", "b"))
    fill(tmp_path / validation, ("a", "b"), 2)
    fill(tmp_path / train / "a", ("@eaDir",))
    fill(tmp_path / train / "b", (".thumbnails",))
    fill(tmp_path / "extra", ("a",))
    (tmp_path / train / "a" / "notes.txt").touch()
    (tmp_path / train / "4.jpg").touch()
    (tmp_path / train / "a" / "gone.jpg").symlink_to("nowhere.jpg")
    notes = []
    source = image_folder(tmp_path, "", 0.1, "x", notes.append)
    assert source.class_names == ["a", "b"]
    assert counts(source) == {"train": 6, "validation": 4}
    assert [piece.key for piece in source.splits["validation"].pieces] == ["a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"]
    assert notes == [
        f"{tmp_path}: left out extra, since these are no splits",
        f"{tmp_path / train}: passed over files that are not images by name: 1, such as a/notes.txt",
        f"{tmp_path / train}: passed over photos beside the class folders: 1, such as 4.jpg",
        f"{tmp_path / train}: passed over hidden and thumbnail folders: 2, such as a/@eaDir",
        f"{tmp_path / train}: passed over links to nothing: 1, such as a/gone.jpg",
    ]


def test_without_a_validation_folder_some_training_photos_are_taken(tmp_path):
    fill(tmp_path / "train", ("a", "b"), 40)
    fill(tmp_path, ("test",), 5)  # photos without labels
    notes = []
    source = image_folder(tmp_path, "", 0.25, "x", notes.append)
    assert counts(source) == {"train": 60, "validation": 20}
    assert notes == [
        f"{tmp_path / 'test'}: left out, since its 5 photos lie in no class folders",
        f"{tmp_path}: no folder of validation photos, so some of {tmp_path / 'train'} are taken",
    ]


def test_one_level_too_high(tmp_path):
    fill(tmp_path / "my flowers", ("daisy", "rose"), 30)
    inside = f"--source_dir='{tmp_path / 'my flowers'}'".replace(str(tmp_path), "FOLDER")
    message = (
        "--source_dir=FOLDER looks one level too high: it would become one class, my flowers (60 photos in the folders "
        f"daisy, rose); use {inside}, or take it as it is with --as_is"
    )
    refused(tmp_path, message)
    source = image_folder(tmp_path, "", 0.1, "x", as_is=True)
    assert source.class_names == ["my flowers"]
    assert sum(counts(source).values()) == 60


def test_every_class_folder_holds_folders_only(tmp_path):
    for year in ("2019", "2020"):
        fill(tmp_path / year, ("cat", "dog"))
    message = (
        "--source_dir=FOLDER looks one level too high: it would become 2 classes, 2019 (6 photos in the folders cat, "
        "dog), 2020 (6 photos in the folders cat, dog); use one of --source_dir=FOLDER/2019, --source_dir=FOLDER/2020, "
        "or take it as it is with --as_is"
    )
    refused(tmp_path, message)
    # One photo directly in a class folder shows that the level is right.
    fill(tmp_path / "2021", ())
    fill(tmp_path, ("2021",), 1)
    assert image_folder(tmp_path, "", 0.5, "x").class_names == ["2019", "2020", "2021"]


def test_splits_below_the_classes(tmp_path):
    for kind in ("cat", "dog"):
        fill(tmp_path / kind, ("train", "val"))
    message = (
        "--source_dir=FOLDER looks one level too high: it would become 2 classes, cat (6 photos in the folders train, "
        "val), dog (6 photos in the folders train, val); put the folders of the splits above those of the classes, as "
        "in FOLDER/train/cat, or take it as it is with --as_is"
    )
    refused(tmp_path, message)


def test_a_split_that_is_too_high(tmp_path):
    for split in ("train", "val"):
        fill(tmp_path / split / "images", ("cat", "dog"))
    message = (
        "FOLDER/train looks one level too high: it would become one class, images (6 photos in the folders cat, dog); "
        "move the class folders up into FOLDER/train, or take it as it is with --as_is"
    )
    refused(tmp_path, message)


def test_a_training_split_beside_other_photos(tmp_path):
    fill(tmp_path / "train", ("cat", "dog"))
    fill(tmp_path, ("unlabelled",))
    message = (
        "--source_dir=FOLDER looks one level too high: it would become 2 classes, train (6 photos in the folders cat, "
        "dog), unlabelled (3 photos); use --source_dir=FOLDER/train, or take it as it is with --as_is"
    )
    refused(tmp_path, message)


def test_one_class_alone(tmp_path):
    message = (
        "--source_dir=FOLDER holds one class alone, rose (3 photos); add a folder of photos for each other class, or "
        "take it as it is with --as_is"
    )
    refused(fill(tmp_path, ("rose",)), message)


def test_photos_without_class_folders(tmp_path):
    fill(tmp_path, ("roses",))
    way_out = f"if it is itself a class folder, use --source_dir={tmp_path}"
    refused(tmp_path / "roses", f"--source_dir=FOLDER: its 3 photos lie in no class folders; {way_out}")
    fill(tmp_path / "divided", ("train", "val"))
    # Never two classes named train and val.
    refused(tmp_path / "divided", "FOLDER/train: its 3 photos lie in no class folders", as_is=True)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("val", "test"), "FOLDER holds val and test, but no folder train; put the training photos there"),
        (
            ("train", "val", "valid"),
            "FOLDER: val and valid both name the validation split; put their photos into one of them",
        ),
    ],
)
def test_wrong_splits(tmp_path, folders, message):
    for name in folders:
        fill(tmp_path / name, ("cat", "dog"))
    refused(tmp_path, message)


def test_classes_that_differ_between_the_splits_name_the_near_one(tmp_path):
    fill(tmp_path / "train", ("daisy", "roses", "tulip"))
    fill(tmp_path / "val", ("Daisy", "rose", "elephant"))
    message = (
        "FOLDER/val and FOLDER/train differ in classes: only val has Daisy (near daisy), elephant, rose (near roses); "
        "only train has daisy, roses, tulip; each split needs a folder of the same name for each class"
    )
    refused(tmp_path, message)


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="no class folders"):
        image_folder(tmp_path, "", 0.1, "x")
    fill(tmp_path, ("a", "b"), 2)
    with pytest.raises(UserError, match="the validation split would be empty; change --validation_fraction"):
        image_folder(tmp_path, "", 0.0, "x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images of class empty"):
        image_folder(tmp_path, "", 0.1, "x")


@pytest.mark.parametrize(
    ("source_dir", "output_dir", "message"),
    [
        ("photo", "out", "--source_dir=photo does not exist; did you mean photos?"),
        ("file", "out", "--source_dir=file is a file; name the folder that holds a folder of photos for each class"),
        ("photos", "file/out", "--output_dir=file/out: file exists and is a file; remove it or choose another"),
        ("photos", "photos", "--output_dir=photos exists; remove it or choose another"),
    ],
)
def test_wrong_paths(tmp_path, monkeypatch, source_dir, output_dir, message):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", ("a", "b"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        verb.main(ImageFolderOptions(output_dir=output_dir, source_dir=source_dir))


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "photos", ("a", "b"), 20)
    verb.main(ImageFolderOptions(output_dir="~/out", source_dir="~/photos", num_workers=1))
    assert (tmp_path / "out" / "label_names.txt").read_text() == "a\nb\n"
