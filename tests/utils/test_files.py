"""Tests atomic writes."""

import errno
import os
import threading

import pytest

from vgg_keras.utils import files
from vgg_keras.utils.errors import UserError, explain


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("stopped")

    with pytest.raises(OSError, match="stopped"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "folder" / "real.txt")
    files.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "folder" / "real.txt").read_text() == "new"


def test_an_output_may_be_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    files.write_output(tmp_path / "pipe", "through")
    reader.join()
    assert received == ["through"]
    assert (tmp_path / "pipe").is_fifo()
    files.write_output(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"
    with pytest.raises(UserError, match="is a folder"):
        files.write_output(tmp_path, "text")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/tmp"), "a folder"),
    ],
)
def test_what_stands_in_the_place_of_a_file_is_named_and_stays(make, kind, tmp_path):
    path = tmp_path / "best.keras"
    make(path)
    with pytest.raises(UserError, match=rf"^{path} is {kind}, where a file is to be written: move it away, and run"):
        files.write_text(path, "text")
    assert list(tmp_path.iterdir()) == [path]
    assert not path.is_file()


def test_what_stands_in_the_place_of_a_folder_is_named(tmp_path):
    path = tmp_path / "samples"
    files.require_folder(path)
    path.symlink_to("absent")
    with pytest.raises(UserError, match=rf"^{path} is a link to nothing, where a folder is to be: move it away"):
        files.require_folder(path)
    path.unlink()
    path.touch()
    with pytest.raises(UserError, match=rf"^{path} is a file, where a folder is to be: move it away"):
        files.require_folder(path)
    path.unlink()
    path.mkdir()
    files.require_folder(path)


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path):
    def fail(temporary):
        temporary.write_text("half")
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(temporary))

    with pytest.raises(PermissionError) as caught:
        files.write_atomically(tmp_path / "file.txt", fail)
    assert explain(caught.value) == f"no permission: [Errno 13] Permission denied: '{tmp_path}/file.txt'"
