"""Lists what tar archives hold, and reads it by random access; compressed archives are unpacked into one file first."""

import contextlib
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from data_prep.pieces import Piece, Pieces
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.files import write_atomically

# Suffix of the names of unpacked archives.
UNPACKED = ".unpacked"


@contextlib.contextmanager
def open_tar(path: Path, fileobj=None) -> Iterator[tarfile.TarFile]:
    """Opens a tar, compressed or not, and turns errors while it is read into a `UserError` that names it.

    Args:
        path: path of the tar, also for messages.
        fileobj: the open file, for a tar inside another one, which must not be compressed.

    Raises:
        UserError: the tar is missing, damaged or truncated.
    """
    try:
        with tarfile.open(
            path if fileobj is None else None, mode="r:*" if fileobj is None else "r:", fileobj=fileobj
        ) as tar:
            yield tar
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise UserError(f"{path} is damaged or truncated ({reason(error)}); fetch it again") from error


def tar_files(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the regular files of a tar in order, without keeping the headers in memory.

    Hidden files are left out: tars from macOS hold a file `._photo.jpg` beside each photo.

    Args:
        tar: the open tar.
        path: path of the tar, for messages.

    Raises:
        UserError: the tar has no end-of-archive mark, which `tarfile` does not report, or holds a sparse file.
    """
    while (member := tar.next()) is not None:
        # tarfile keeps every header; those of 1.28 million images take a gigabyte.
        tar.members = []  # type: ignore[attr-defined]
        if member.isfile() and not member.name.rpartition("/")[2].startswith("."):
            if member.issparse():  # its bytes do not lie in one piece
                raise UserError(f"{path}: {member.name} is stored as a sparse file; pack the tar without --sparse")
            yield member
    if tar.fileobj.tell() == tar.offset:  # the file ends where the mark should be
        raise UserError(f"{path} is truncated (no end-of-archive mark); fetch it again")
    while tar.fileobj.read(1 << 20):  # read to the end, where gzip verifies its checksum
        pass


def identity(path: Path) -> str:
    """Returns a text that differs if an archive was replaced or changed: its size, and the time of its last change."""
    status = path.stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"


def unpacked_bytes(path: Path, *listings: Pieces) -> int:
    """Returns about how many bytes `make_readable` writes for an archive: 0 if it is not compressed.

    Args:
        path: the archive.
        listings: the pieces that lie in it.
    """
    ends = [int((pieces.marks + pieces.sizes).max()) for pieces in listings if len(pieces)]
    return max(ends, default=0) if _is_compressed(path) else 0


def _is_compressed(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return False
    except tarfile.ReadError:
        return True


def make_readable(path: Path, folder: Path) -> "ArchiveReader":
    """Returns a reader of a tar; a compressed one is unpacked into a single file first, unless that has been done.

    Args:
        path: the tar.
        folder: an existing folder for the unpacked file.

    Raises:
        OSError: the unpacked file cannot be written.
        UserError: the tar is damaged or truncated.
    """
    if not _is_compressed(path):
        return ArchiveReader(path)
    # The name tells whether a file that a killed run left there is of the same archive.
    unpacked = folder / f"{hashlib.sha256(identity(path).encode()).hexdigest()[:12]}-{path.name}{UNPACKED}"

    def unpack(target: Path) -> None:
        with open_tar(path) as tar, target.open("wb") as file:
            tar.fileobj.seek(0)
            shutil.copyfileobj(cast(BinaryIO, tar.fileobj), file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())

    if not unpacked.exists():
        write_atomically(unpacked, unpack)
    return ArchiveReader(unpacked)


class ArchiveReader:
    """Reads pieces whose marks are offsets in a file; it opens the file once in each process that it is sent to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __reduce__(self):
        return type(self), (self._path,)

    def __call__(self, piece: Piece) -> bytes:
        """Returns the bytes of a piece.

        Raises:
            OSError: the file cannot be read.
            UserError: the file has become shorter.
        """
        if self._file is None:
            self._file = self._path.open("rb")
        self._file.seek(piece.mark)
        content = self._file.read(piece.size)
        if len(content) != piece.size:
            raise UserError(f"{self._path} has become shorter since its files were listed; run the same command again")
        return content
