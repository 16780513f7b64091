"""Tests that paths given as flags are expanded and checked, each with one clear message."""

import os
from pathlib import Path

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


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        ("output_file", "photos", r"--flag=photos is a folder; name a file in it$"),
        (
            "output_file",
            "photos.tgz/a.csv",
            r"--flag=photos\.tgz/a\.csv: photos\.tgz exists and is a file; remove it or",
        ),
        ("output_file", "gs://bucket/a.csv", r"--flag=gs://bucket/a\.csv is a URL; "),
        ("output_folder", "photos/a.jpg", r"--flag=photos/a\.jpg: photos/a\.jpg exists and is a file; remove it or"),
        ("output_folder", "dead/x", r"--flag=dead/x: dead is a link to nothing; remove it or choose another$"),
        ("output_folder", "y" * 240, r"--flag: the name y{20}\.\.\. has 240 bytes; choose one of at most 223$"),
        ("output_file", "new/" + "ü" * 112 + "/a.csv", r"--flag: the name ü{20}\.\.\. has 224 bytes; choose one of at"),
        ("output_folder", "y" * 300, r"--flag: the name y{20}\.\.\. has 300 bytes; choose one of at most 223$"),
        ("output_folder", "caf\udce9", r"--flag=caf\\xe9: TensorFlow needs a path in UTF-8; choose another name, or, "),
        ("new_folder", "y" * 300, r"--flag: the name y{20}\.\.\. has 300 bytes; choose one of at most 223$"),
        ("new_folder", "dead", r"--flag=dead: dead is a link to nothing; remove it or choose another$"),
    ],
)
def test_outputs_that_cannot_be_written(place, function, value, message):
    (place / "dead").symlink_to("nowhere")
    with pytest.raises(UserError, match=f"^{message}"):
        getattr(paths, function)("flag", value)
    assert sorted(path.name for path in place.iterdir()) == ["dead", "photos", "photos.tgz"]


def test_a_folder_without_permission(place, monkeypatch):
    # Root may write anywhere, so the answer of the system is imitated.
    monkeypatch.setattr(os, "access", lambda path, _: path != place / "photos")
    message = r"^--flag=photos/new/a\.csv: photos cannot be written to; choose another folder$"
    with pytest.raises(UserError, match=message):
        paths.output_file("flag", "photos/new/a.csv")
    with pytest.raises(UserError, match="photos cannot be written to"):
        paths.output_folder("flag", "photos")
    assert paths.output_file("flag", "new/a.csv").name == "a.csv"


def test_outputs_that_can_be_written(place):
    assert str(paths.output_file("flag", "photos/a.jpg")) == "photos/a.jpg"  # replaced
    assert str(paths.output_folder("flag", "photos")) == "photos"
    assert str(paths.output_folder("flag", "new/er")) == "new/er"
    assert not (place / "new").exists()


def test_an_empty_folder_may_be_written(place):
    (place / "empty").mkdir()
    assert paths.new_folder("output_dir", "empty").name == "empty"


def test_a_folder_that_may_not_be_written(place, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # chmod does not stop root
    with pytest.raises(UserError, match=r"^--flag=photos/new: photos cannot be written to; choose another folder$"):
        paths.output_folder("flag", "photos/new")


def test_a_read_only_file_system(place):
    read_only = next((Path(mount) for mount in ("/sys", "/proc/sys") if os.statvfs(mount).f_flag & os.ST_RDONLY), None)
    if not read_only:
        pytest.skip("no file system of this machine is read only")
    with pytest.raises(UserError, match=rf"^--flag={read_only}/new: {read_only} cannot be written to; choose another"):
        paths.output_folder("flag", str(read_only / "new"))


def test_the_home_folder_of_nobody_stays_a_name():
    # Editors name temporary files so, and a glob of the shell names them all.
    assert paths.expand("x", "~$photo.jpg") == "~$photo.jpg"


def test_a_link_is_no_new_folder(place):
    (place / "empty").mkdir()
    (place / "link").symlink_to("empty")
    with pytest.raises(UserError, match=r"^--flag=link is a link, which cannot be replaced; name the folder itself$"):
        paths.new_folder("flag", "link")
