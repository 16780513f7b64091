"""Defines sources of photos, from tars or folders: for each split a stream of (key, image bytes, label)."""

import contextlib
import dataclasses
import gzip
import hashlib
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vgg_keras.utils.errors import UserError, reason

# Chosen such that each class of the flower set is split 9:1 to within two photos. Changing it would move photos between
# the splits of every data set written so far.
_SPLIT_SALT = "1795"


# Number of names up to which a message gives all of them.
_MAX_NAMES = 6


class RawImage(NamedTuple):
    """An encoded image of a source.

    Attributes:
        key: name that is unique within the split.
        image_bytes: the encoded image.
        label: class index; -1 if unknown.
    """

    key: str
    image_bytes: bytes
    label: int


@dataclasses.dataclass(frozen=True)
class Source:
    """The images and class names from which a data set is written.

    Attributes:
        name: TFDS name of the data set.
        description: one sentence for the documentation inside the data set.
        class_names: unique names in the order of the class indices.
        label_names: human-readable names in the same order.
        splits: for each split a function that returns an iterable over its images.
        num_images: for each split the number of its images, or None if it is unknown before the images are read.
    """

    name: str
    description: str
    class_names: Sequence[str]
    label_names: Sequence[str]
    splits: Mapping[str, Callable[[], Iterable[RawImage]]]
    num_images: Mapping[str, int | None]


def some_names(names: Sequence[str]) -> str:
    """Returns a list of names for a message, shortened if it is long."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def assign_split(file_name: str, validation_fraction: float = 0.1) -> str:
    """Returns the split of a photo, "train" or "validation", from a hash of its file name without the folder.

    The split therefore stays the same when other photos are added or removed, and when the photo is moved to another
    class; copies in two classes are in the same split. All classes are split in about the same proportion.

    Args:
        file_name: path of the photo; only its last part counts.
        validation_fraction: expected fraction, 0..1, of the photos in the validation split.
    """
    digest = hashlib.sha256(f"{_SPLIT_SALT}/{os.path.basename(file_name)}".encode()).digest()
    return "validation" if int.from_bytes(digest[:8], "big") < validation_fraction * 2**64 else "train"


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
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or truncated ({reason(error)}); fetch it again") from error


def tar_files(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the regular files of a tar in order, without keeping the headers in memory.

    Hidden files are left out: tars from macOS hold a file `._photo.jpg` beside each photo.

    Args:
        tar: the open tar.
        path: path of the tar, for messages.

    Raises:
        UserError: the tar has no end-of-archive mark, which `tarfile` does not report.
    """
    while (member := tar.next()) is not None:
        # tarfile keeps every header; those of 1.28 million images take a gigabyte.
        tar.members = []  # type: ignore[attr-defined]
        if member.isfile() and not member.name.rpartition("/")[2].startswith("."):
            yield member
    if tar.fileobj.tell() == tar.offset:  # the file ends where the mark should be
        raise UserError(f"{path} is truncated (no end-of-archive mark); fetch it again")
    while tar.fileobj.read(1 << 20):  # read to the end, where gzip verifies its checksum
        pass


def read_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Reads a regular file of a tar."""
    file = tar.extractfile(member)
    assert file, member.name  # None only for members that are not regular files
    return file.read()


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a set of class folders.

    Attributes:
        class_names: sorted names of the classes.
        files: (class name, key) of each image.
    """

    class_names: list[str]
    files: list[tuple[str, str]]

    @classmethod
    def from_files(cls, files: Iterable[tuple[str, str]], class_names: Iterable[str], origin: str) -> "Listing":
        """Checks the files of class folders and returns the listing.

        Args:
            files: (class name, key) of each image.
            class_names: names of the expected classes.
            origin: the folder or archive, for messages.

        Raises:
            UserError: there are no classes, a class is empty, or a key appears twice.
        """
        files, class_names = list(files), sorted(class_names)
        if not class_names:
            raise UserError(f"{origin}: no class folders with images inside")
        counts = Counter(name for name, _ in files)
        empty = [name for name in class_names if not counts[name]]
        if empty:
            raise UserError(f"{origin}: no images of class {some_names(empty)}; is it the right folder?")
        twice = [key for key, count in Counter(key for _, key in files).items() if count > 1]
        if twice:
            raise UserError(f"{origin}: {twice[0]} appears more than once ({len(twice)} duplicate keys in all)")
        return cls(class_names, files)
