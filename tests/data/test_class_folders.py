"""Tests the listing of folders of photos, and the search for the level of the class folders."""

import pytest

from vgg_keras.data.class_folders import find_sources, is_too_high, list_folder, split_folders


@pytest.fixture
def make(tmp_path):
    """Returns a function that makes empty files by their paths and lists the folder that holds them."""

    def make(*files, image_pattern=""):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return list_folder(tmp_path, image_pattern)

    return make


def names(paths, root):
    return [path.relative_to(root.path).as_posix() for path in paths]


def test_photos_are_found_at_any_depth_and_the_rest_is_told_apart(make):
    root = make("b/2.jpg", "b/deep/er/1.PNG", "b/.hidden.jpg", "b/notes.txt", "a/.thumbnails/1.jpg", "a/@eaDir/1.jpg")
    (a, b) = root.folders
    assert names(b.all_photos(), root) == ["b/2.jpg", "b/deep/er/1.PNG"]
    assert names(b.photos, root) == ["b/2.jpg"]
    assert names(b.others, root) == ["b/.hidden.jpg", "b/notes.txt"]
    assert names(a.left_out, root) == ["a/.thumbnails", "a/@eaDir"]
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
    assert [path.name for path in found.left_out] == ["itself"]
