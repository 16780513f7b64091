"""Tests the listing of folders of photos, and the search for the level of the class folders."""

import os

import pytest

from vgg_keras.data.class_folders import (
    DEAD_LINKS,
    HIDDEN,
    INNER_LINKS,
    LOOPS,
    find_sources,
    is_too_high,
    list_folder,
    split_folders,
)
from vgg_keras.utils.errors import UserError


@pytest.fixture
def make(tmp_path):
    """Returns a function that makes empty files by their paths and lists the folder that holds them."""

    def make(*files, image_pattern=""):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return list_folder(tmp_path, image_pattern)

    return make


def left_out(folder):
    """Returns the names of what is left out of a folder, by kind."""
    return {kind: [path.name for path in paths] for kind, paths in folder.left_out.items()}


def names(paths, root):
    return [path.relative_to(root.path).as_posix() for path in paths]


def test_photos_are_found_at_any_depth_and_the_rest_is_told_apart(make):
    root = make("b/2.jpg", "b/deep/er/1.PNG", "b/.hidden.jpg", "b/notes.txt", "a/.thumbnails/1.jpg", "a/@eaDir/1.jpg")
    (a, b) = root.folders
    assert names(b.all_photos(), root) == ["b/2.jpg", "b/deep/er/1.PNG"]
    assert names(b.photos, root) == ["b/2.jpg"]
    assert names(b.others, root) == ["b/.hidden.jpg", "b/notes.txt"]
    assert {kind: names(paths, root) for kind, paths in a.left_out.items()} == {HIDDEN: ["a/.thumbnails", "a/@eaDir"]}
    assert (a.num_photos, b.num_photos, root.num_photos) == (0, 2, 2)
    assert root.classes == [b]


@pytest.mark.parametrize("name", ["__MACOSX", ".ipynb_checkpoints", "@eaDir", "Thumbnails", "$RECYCLE.BIN", "#recycle"])
def test_folders_of_systems_and_viewers_are_left_out(make, name):
    root = make("a/1.jpg", "b/1.jpg", f"{name}/a/1.jpg", f"a/{name}/1.jpg")
    assert [inside.name for inside in root.folders] == ["a", "b"]
    assert root.num_photos == 2


def test_a_pattern_takes_other_files_but_hidden_ones_only_if_it_says_so(make):
    files = ("a/1.jpg", "a/1.raw", "a/._1.raw")
    assert names(make(*files, image_pattern="*.raw").all_photos(), make()) == ["a/1.raw"]
    assert names(make(*files, image_pattern=".*.raw").all_photos(), make()) == ["a/._1.raw"]


def test_class_folders_may_be_links_and_loops_end(make, tmp_path):
    make("store/x/1.jpg")
    (tmp_path / "photos" / "train").mkdir(parents=True)
    (tmp_path / "photos" / "train" / "x").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "store" / "x" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "store" / "x" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert [path.name for path in list_folder(tmp_path / "photos").all_photos()] == ["1.jpg"]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("train validation", {"train": ["train"], "validation": ["validation"]}),
        ("Training VAL Testing", {"train": ["Training"], "validation": ["VAL"], "test": ["Testing"]}),
        ("train valid labels", {"train": ["train"], "validation": ["valid"]}),
        ("train test", {"train": ["train"], "test": ["test"]}),
        ("train val valid", {"train": ["train"], "validation": ["val", "valid"]}),
        ("val test", {"validation": ["val"], "test": ["test"]}),
        # Classes: a vehicle, and the states of a ticket.
        ("train bus", {}),
        ("valid test rejected", {}),
        ("cat dog", {}),
        ("train", {}),
    ],
)
def test_split_folders(make, folders, expected):
    splits = split_folders(make(*(f"{name}/a/1.jpg" for name in folders.split())))
    assert {split: [inside.name for inside in several] for split, several in splits.items()} == expected
    assert list(splits) == list(expected)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("cat/1.jpg dog/1.jpg", False),
        ("cat/2019/1.jpg dog/1.jpg", False),
        ("cat/1.jpg", True),
        ("flowers/rose/1.jpg flowers/tulip/1.jpg", True),
        ("flowers/rose/1.jpg docs/read.txt", True),
        ("2019/cat/1.jpg 2020/cat/1.jpg", True),
        ("train/1.jpg bus/1.jpg", False),
        ("train/cat/1.jpg train/dog/1.jpg unlabelled/1.jpg", True),
    ],
)
def test_a_folder_that_is_too_high(make, files, expected):
    assert is_too_high(make(*files.split())) is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("cat/1.jpg dog/1.jpg", ["."]),
        ("photos/flowers/rose/1.jpg photos/flowers/tulip/1.jpg photos/README.txt", ["photos/flowers"]),
        ("a/cat/1.jpg a/dog/1.jpg b/cat/1.jpg b/dog/1.jpg", ["a", "b"]),
        ("photos/train/cat/1.jpg photos/train/dog/1.jpg photos/val/cat/1.jpg photos/val/dog/1.jpg", ["photos"]),
        # The test photos of a contest have no classes.
        ("photos/train/cat/1.jpg photos/train/dog/1.jpg photos/test/1.jpg", ["photos"]),
        # The splits lie below the classes.
        ("cat/train/1.jpg cat/val/1.jpg dog/train/1.jpg dog/val/1.jpg", []),
        ("cat/1.jpg", []),
        ("1.jpg", []),
    ],
)
def test_find_sources(make, files, expected):
    root = make(*files.split())
    assert names([source.path for source in find_sources(root)], root) == expected


def test_links_to_folders_above_are_left_out(tmp_path):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "1.jpg").write_bytes(b"")
    (tmp_path / "photos" / "itself").symlink_to(".")
    (tmp_path / "photos" / "a" / "above").symlink_to("..")
    found = list_folder(tmp_path / "photos")
    assert (found.num_photos, [folder.name for folder in found.folders]) == (1, ["a"])
    assert left_out(found) == {LOOPS: ["itself"]}
    assert left_out(found.folders[0]) == {LOOPS: ["above"]}


def test_every_kind_of_link(tmp_path):
    (tmp_path / "store" / "deep").mkdir(parents=True)
    (tmp_path / "store" / "1.jpg").write_bytes(b"")
    inside = tmp_path / "photos" / "a" / "inside"
    inside.mkdir(parents=True)
    (inside / "file.jpg").symlink_to(tmp_path / "store" / "1.jpg")
    (inside / "folder").symlink_to(tmp_path / "store")
    (inside / "dead.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (inside / "itself.jpg").symlink_to("itself.jpg")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "photos" / "dead").symlink_to(tmp_path / "nowhere")
    found = list_folder(tmp_path / "photos")
    assert [path.name for path in found.all_photos()] == ["file.jpg", "1.jpg"]
    assert left_out(found) == {DEAD_LINKS: ["dead"]}
    ((walked,),) = [folder.folders for folder in found.folders if folder.name == "a"]
    assert left_out(walked) == {DEAD_LINKS: ["dead.jpg", "itself.jpg"], INNER_LINKS: ["folder"]}


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    scan = os.scandir

    def scandir(path):
        if path == tmp_path / "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"/a cannot be read \(Permission denied\); make it readable, or move it"):
        list_folder(tmp_path)


def test_a_name_is_text_whatever_the_encoding_of_the_system(tmp_path):
    # With an ASCII system, Python reads each byte of the "ü" as a character of its own.
    (tmp_path / "Bl\udcc3\udcbcte").mkdir()
    assert [folder.name for folder in list_folder(tmp_path).folders] == ["Blüte"]


def test_upper_and_lower_case_are_the_same_to_a_pattern(make):
    assert names(make("a/1.JPG", "a/2.jpg", "a/3.Jpg", image_pattern="*.jPg").all_photos(), make()) == [
        "a/1.JPG",
        "a/2.jpg",
        "a/3.Jpg",
    ]
