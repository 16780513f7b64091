"""Defines sources of photos: the classes, and for each split a list of its images and a function that reads them."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from data_prep.objects import Annotate
from data_prep.pieces import Pieces, Reader
from vgg_keras.utils.errors import UserError

# Chosen such that each class of the flower set is split 9:1 to within two photos. Changing it would move photos between
# the splits of every data set written so far.
_SPLIT_SALT = "1795"


# Number of names up to which a message gives all of them.
_MAX_NAMES = 6


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of a split, which are listed at once and read later.

    Attributes:
        pieces: the images.
        make_reader: function that returns the picklable reader of the images. It is called in the process that leads
            the workers, with a folder for temporary files, such as an unpacked archive, which it makes only once.
        origin: text that differs if the archive that holds the images was replaced; "" where the marks of the pieces
            tell so.
        annotate: function that returns the objects of an image; None if the records hold none.
    """

    pieces: Pieces
    make_reader: Callable[[Path], Reader]
    origin: str = ""
    annotate: Annotate | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """The images and class names from which a data set is written.

    Attributes:
        name: TFDS name of the data set.
        description: one sentence for the documentation inside the data set.
        class_names: unique names in the order of the class indices.
        label_names: human-readable names in the same order.
        splits: the images of each split.
        temporary_bytes: bytes of the files that the splits' readers need.
        multi_label: whether an image has as many labels as its objects have classes, and not one of its own.
        one_object: whether each record is of one object, whose box it holds, and not of the image as a whole.
        left_out: a line for each image that the source leaves out, since it cannot be used: split, key and reason.

    Raises:
        ValueError: some splits have objects and others none, or there are no objects to give several labels.
    """

    name: str
    description: str
    class_names: Sequence[str]
    label_names: Sequence[str]
    splits: Mapping[str, Split]
    temporary_bytes: int = 0
    multi_label: bool = False
    one_object: bool = False
    left_out: Sequence[str] = ()

    def __post_init__(self) -> None:
        annotated = {split.annotate is not None for split in self.splits.values()}
        if len(annotated) > 1 or (self.multi_label and annotated != {True}):
            raise ValueError("either all splits have objects, or none has and every image has one label")

    @property
    def has_boxes(self) -> bool:
        """Whether the records hold the objects of their images."""
        return any(split.annotate for split in self.splits.values())


def some_names(names: Sequence[str]) -> str:
    """Returns a list of names for a message, shortened if it is long."""
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _digest(name: str) -> bytes:
    """Returns the SHA-256 of a file's name, which may hold bytes that are not UTF-8."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def assign_split(file_name: str, validation_fraction: float = 0.1) -> str:
    """Returns the split of a photo, "train" or "validation", from a hash of its file name without the folder.

    The split therefore stays the same when other photos are added or removed, and when the photo is moved to another
    class; copies in two classes are in the same split. All classes are split in about the same proportion.

    Args:
        file_name: path of the photo; only its last part counts.
        validation_fraction: expected fraction, 0..1, of the photos in the validation split.
    """
    digest = _digest(f"{_SPLIT_SALT}/{os.path.basename(file_name)}")
    return "validation" if int.from_bytes(digest[:8], "big") < validation_fraction * 2**64 else "train"


def choose_validation(files: Iterable[tuple[str, str]], validation_fraction: float) -> set[str]:
    """Chooses the photos of the validation split, the asked fraction of each class.

    Of the n photos of a class they are the round(validation_fraction * n) whose keys have the lowest hashes, so that
    the choice looks random, and is the same on every machine. Of two photos or more, one at least is in each of the two
    splits, unless the fraction is 0 or 1.

    Args:
        files: (class name, key) of each photo; a key is unique, and holds the class's name and that of the file.
        validation_fraction: fraction of the photos in the validation split, 0..1.

    Returns:
        The keys of the photos in the validation split.
    """
    keys_of: dict[str, list[str]] = {}
    for class_name, key in files:
        keys_of.setdefault(class_name, []).append(key)
    chosen: set[str] = set()
    for keys in keys_of.values():
        count = round(validation_fraction * len(keys))
        if 0 < validation_fraction < 1:
            count = min(max(count, 1), len(keys) - 1)
        chosen.update(sorted(keys, key=_digest)[:count])
    return chosen


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
