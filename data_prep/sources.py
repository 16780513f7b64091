"""What a source of photos is: streams of (key, image bytes, label), one for each split, from tars or folders."""

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

from vgg_keras.utils.cli import UserError

# Chosen once, so that each class of the flower set is split 9:1 to within two photos; changing it moves photos between
# the splits of every data set made so far.
_SPLIT_SALT = "1795"


class RawImage(NamedTuple):
    """An encoded image as it came: a unique key within its split, the bytes, and the class index (-1: unknown)."""

    key: str
    image_bytes: bytes
    label: int


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that can be read once per split.

    Attributes:
        name: the TFDS name of the data set.
        description: one sentence for the data set's own documentation.
        class_names: unique names in the order of the class indices.
        label_names: what people read, in the same order.
        splits: for each split a function that opens the stream of its images.
        num_images: for each split how many images will come, or None where only reading can tell.
    """

    name: str
    description: str
    class_names: Sequence[str]
    label_names: Sequence[str]
    splits: Mapping[str, Callable[[], Iterable[RawImage]]]
    num_images: Mapping[str, int | None]


def assign_split(file_name: str, validation_fraction: float = 0.1) -> str:
    """Returns "train" or "validation", from the file's own name alone (no folder).

    The split of a photo therefore never changes when others come or go, when it moves to another class, or when a copy
    of it lies in two classes. A hash is uniform within every class, so all classes are split in the same proportion.
    """
    digest = hashlib.sha256(f"{_SPLIT_SALT}/{os.path.basename(file_name)}".encode()).digest()
    return "validation" if int.from_bytes(digest[:8], "big") < validation_fraction * 2**64 else "train"


@contextlib.contextmanager
def open_tar(path: Path, fileobj=None) -> Iterator[tarfile.TarFile]:
    """Opens a tar (compressed or not) for streaming, and turns its errors into one line that names it.

    Args:
        path: the file, and the name used in messages.
        fileobj: the open file where the tar lies inside another one.

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
        raise UserError(f"{path} is damaged or truncated ({error}); fetch it again") from error


def tar_files(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the regular files of a tar in their order, without keeping the index in memory.

    Raises:
        UserError: it stops without its end mark; tarfile itself would take that for the end.
    """
    while (member := tar.next()) is not None:
        tar.members = []  # tarfile remembers every header; those of 1.28 million images are a gigabyte
        if member.isfile():
            yield member
    if tar.fileobj.tell() == tar.offset:  # nothing was left to read where the end mark should be
        raise UserError(f"{path} is truncated (no end-of-archive mark); fetch it again")
    while tar.fileobj.read(1 << 20):  # to the end, where gzip checks its checksum
        pass


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a set of class folders: (class, key) pairs, and the class names in order."""

    class_names: list[str]
    files: list[tuple[str, str]]

    @classmethod
    def from_files(cls, files: Iterable[tuple[str, str]], class_names: Iterable[str], place: str) -> "Listing":
        """Checks a listing.

        Args:
            files: (class name, key) of each image.
            class_names: the classes that there should be.
            place: what was listed, for messages.

        Raises:
            UserError: there are no classes, a class is empty, or a key appears twice.
        """
        files, class_names = list(files), sorted(class_names)
        if not class_names:
            raise UserError(f"{place}: no class folders with images inside")
        counts = Counter(name for name, _ in files)
        empty = [name for name in class_names if not counts[name]]
        if empty:
            raise UserError(f"{place}: no images of class {', '.join(empty)}; add some, or remove the folder")
        twice = [key for key, count in Counter(key for _, key in files).items() if count > 1]
        if twice:
            raise UserError(f"{place}: {twice[0]} appears more than once ({len(twice)} duplicate keys in all)")
        return cls(class_names, files)
