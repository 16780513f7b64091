"""Tests that paths given as flags are expanded and checked, each with one clear message."""

import pytest

from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes a folder `photos` that holds `a.jpg`, and a file `photos.tgz`; the home and working folder is theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    (tmp_path / "photos.tgz").touch()
    return tmp_path


def test_a_tilde_is_the_home_folder(place):
    assert paths.existing_folder("data_dir", "~/photos", "") == place / "photos"
    assert paths.existing_file("archive", "~/photos.tgz", "") == place / "photos.tgz"
    assert paths.new_folder("output_dir", "~/new/folder") == place / "new" / "folder"


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        ("existing_file", "photo.tgz", r"--flag=photo\.tgz does not exist; did you mean photos\.tgz\?$"),
        ("existing_file", "absent/x", r"--flag=absent/x does not exist$"),
        ("existing_file", "photos", r"--flag=photos is a folder; do this$"),
        ("existing_folder", "fotos", r"--flag=fotos does not exist; did you mean photos\?$"),
        ("existing_folder", "photos.tgz", r"--flag=photos\.tgz is a file; do this$"),
        ("existing_folder", "", r"--flag is empty; give it a path$"),
        (
            "existing_folder",
            "gs://bucket/photos",
            r"--flag=gs://bucket/photos is a URL; only files and folders of this",
        ),
        ("existing_folder", "~no_such_user/photos", r"--flag=~no_such_user/photos: there is no such user$"),
    ],
)
def test_refused(place, function, value, message):
    with pytest.raises(UserError, match=f"^{message}"):
        getattr(paths, function)("flag", value, "do this")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (".", r"--flag=\. is the folder that you work in; name another, which is then made$"),
        ("photos", r"--flag=photos exists; remove it or choose another$"),
        ("photos.tgz", r"--flag=photos\.tgz: photos\.tgz exists and is a file; remove it or choose another$"),
        ("photos.tgz/a/b", r"--flag=photos\.tgz/a/b: photos\.tgz exists and is a file; remove it or choose another$"),
    ],
)
def test_folders_that_cannot_be_written(place, value, message):
    with pytest.raises(UserError, match=f"^{message}"):
        paths.new_folder("flag", value)


def test_an_empty_folder_may_be_written(place):
    (place / "empty").mkdir()
    assert paths.new_folder("output_dir", "empty").name == "empty"
