"""Tests the reading of files inside tar archives by random access."""

import io
import os
import pickle
import tarfile

import pytest

from data_prep import archives
from data_prep.pieces import Piece, Pieces
from tests.helpers.photos import make_tar
from vgg_keras.utils.errors import UserError

FILES = [("a", b"first"), ("folder/b" + "x" * 120, b""), ("c", bytes(range(256)) * 30), ("d", b"last")]


def listed(path):
    with archives.open_tar(path) as tar:
        return [Piece(member.name, 0, member.size, member.offset_data) for member in archives.tar_files(tar, path)]


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_files_are_read_in_any_order(tmp_path, compression):
    path = make_tar(tmp_path / "f.tar", FILES, compression)
    pieces = listed(path)
    read = archives.make_readable(path, tmp_path)
    assert {piece.key: read(piece) for piece in reversed(pieces)} == dict(FILES)
    elsewhere = pickle.loads(pickle.dumps(read))  # as a worker process receives it
    assert [elsewhere(piece) for piece in pieces] == [data for _, data in FILES]
    unpacked = list(tmp_path.glob("*.unpacked"))
    assert len(unpacked) == bool(compression)
    estimate = archives.unpacked_bytes(path, Pieces.collect(pieces))
    if compression:  # the padding at the end does not count
        assert 0 <= unpacked[0].stat().st_size - estimate <= 10_240
    else:
        assert estimate == 0


def test_an_archive_that_was_replaced_is_unpacked_again(tmp_path):
    path = make_tar(tmp_path / "f.tgz", FILES, "gz")
    archives.make_readable(path, tmp_path)
    make_tar(path, [("c", b"other")], "gz")
    read = archives.make_readable(path, tmp_path)
    assert [read(piece) for piece in listed(path)] == [b"other"]
    before = archives.identity(path)
    os.utime(path, ns=(1, 1))
    assert archives.identity(path) != before


def test_an_archive_that_became_shorter_is_named(tmp_path):
    path = make_tar(tmp_path / "f.tar", FILES)
    last = listed(path)[-1]
    read = archives.make_readable(path, tmp_path)
    with path.open("r+b") as file:
        file.truncate(last.mark + 2)
    with pytest.raises(UserError, match=r"f\.tar has become shorter since its files were listed; run the same command"):
        read(last)


def test_a_sparse_file_is_refused(tmp_path):
    path = tmp_path / "f.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        # The headers of GNU tar's sparse format 1.0.
        member = tarfile.TarInfo("GNUSparseFile.0/photo.jpg")
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "photo.jpg",
                              "GNU.sparse.realsize": "1000"}  # fmt: skip
        content = b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    with pytest.raises(UserError, match=r"photo\.jpg is stored as a sparse file; pack the tar without --sparse"):
        listed(path)
