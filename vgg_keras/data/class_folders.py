"""Lists a folder of photos, and tells at which level its class folders lie, without decoding a photo."""

import dataclasses
import fnmatch
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vgg_keras.data.photo_files import IMAGE_SUFFIXES, is_left_out
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import file_text

# Common names of the folders of a divided set, in lower case, and the split that each holds.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# Class folders, and split folders above them, are often symbolic links to photos elsewhere. Links further down are not
# followed: there they are rather loops, or second names of photos that are listed already.
_MAX_LINK_DEPTH = 2

# Kinds of what is left out of a folder, in the words of a message.
HIDDEN = "hidden and thumbnail folders"
INNER_LINKS = "links to folders inside class folders"
LOOPS = "links to a folder above"
DEAD_LINKS = "links to nothing"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder, as far as photos are concerned.

    Attributes:
        path: the folder.
        photos: the photos that lie directly in it.
        others: the other files that lie directly in it.
        folders: the folders directly in it, sorted by name.
        left_out: what lies directly in it and is not searched, by its kind: HIDDEN, INNER_LINKS, LOOPS or DEAD_LINKS.
    """

    path: Path
    photos: Sequence[Path]
    others: Sequence[Path]
    folders: Sequence["Folder"]
    left_out: Mapping[str, Sequence[Path]]

    @property
    def name(self) -> str:
        """Name of the folder without the folders above it, as text."""
        return file_text(self.path.name)

    @property
    def classes(self) -> list["Folder"]:
        """The folders directly in it that hold photos at any depth."""
        return [folder for folder in self.folders if folder.num_photos]

    @property
    def num_photos(self) -> int:
        """Number of photos at any depth."""
        return sum(len(folder.photos) for folder in self.walk())

    def walk(self) -> Iterator["Folder"]:
        """Yields the folder itself and all folders below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def all_photos(self) -> list[Path]:
        """Returns the photos at any depth, sorted."""
        return sorted(photo for folder in self.walk() for photo in folder.photos)


def is_photo(name: str, image_pattern: str = "") -> bool:
    """Returns whether a file is a photo by its name.

    Hidden files are none, unless the pattern starts with a dot: macOS writes a file `._photo.jpg` beside each photo.

    Args:
        name: name of the file without its folder.
        image_pattern: glob pattern of the photos' names, in which upper and lower case are the same; "" takes those
            with one of IMAGE_SUFFIXES.
    """
    if name.startswith(".") and not image_pattern.startswith("."):
        return False
    if not image_pattern:
        return name.lower().endswith(IMAGE_SUFFIXES)
    return fnmatch.fnmatchcase(name.lower(), image_pattern.lower())


def _why_left_out(entry: os.DirEntry, depth: int) -> str | None:
    """Returns the kind of an entry that is left out of a folder, or None for a file, and a folder that is searched."""
    if entry.is_symlink():
        if not os.path.exists(entry.path):
            return DEAD_LINKS
        if os.path.isdir(entry.path):
            if depth >= _MAX_LINK_DEPTH:
                return INNER_LINKS
            if Path(entry.path).parent.resolve().is_relative_to(Path(entry.path).resolve()):
                return LOOPS
    return HIDDEN if is_left_out(entry.name) and entry.is_dir() else None


def list_folder(path: Path, image_pattern: str = "", _depth: int = 0) -> Folder:
    """Lists the photos of a folder at any depth.

    Args:
        path: the folder.
        image_pattern: glob pattern of the photos' file names, as `is_photo` takes it.

    Raises:
        UserError: a folder cannot be read.
    """
    photos: list[Path] = []
    others: list[Path] = []
    folders: list[Folder] = []
    left_out: dict[str, list[Path]] = {}
    try:
        with os.scandir(path) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); make it readable, or move it elsewhere") from error
    for entry in entries:
        inside = path / entry.name
        if why := _why_left_out(entry, _depth):
            left_out.setdefault(why, []).append(inside)
        elif entry.is_dir():
            folders.append(list_folder(inside, image_pattern, _depth + 1))
        else:
            photo = entry.is_file() and is_photo(entry.name, image_pattern)
            (photos if photo else others).append(inside)
    return Folder(path, photos, others, folders, left_out)


def split_folders(folder: Folder) -> dict[str, list[Folder]]:
    """Returns the folders that hold the splits of a divided set, in the order train, validation, test.

    A single folder with the name of a split makes no divided set, since it may be a class; nor do several without a
    training split, if there are other folders with photos beside them.

    Args:
        folder: the folder that holds the splits.

    Returns:
        {split: the folders with one of its names}, more than one if names such as `val` and `valid` stand side by side;
        empty if the folder is not divided.
    """
    found: dict[str, list[Folder]] = {}
    for inside in folder.folders:
        if split := SPLIT_NAMES.get(inside.name.lower()):
            found.setdefault(split, []).append(inside)
    only_splits = all(inside.name.lower() in SPLIT_NAMES for inside in folder.classes)
    if len(found) < 2 or not ("train" in found or only_splits):
        return {}
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def is_too_high(folder: Folder) -> bool:
    """Returns whether the class folders of an undivided set seem to lie further down than directly in the folder.

    That is so if there is one class alone, if no photo lies directly in a class folder, or if a class has the name of
    a split and holds nothing but folders.
    """
    classes = folder.classes
    a_split = any(inside.name.lower() in SPLIT_NAMES and not inside.photos for inside in classes)
    return len(classes) == 1 or not any(inside.photos for inside in classes) or a_split


def find_sources(folder: Folder) -> list[Folder]:
    """Returns the highest folders, this one or some inside, that directly hold two or more classes or a divided set."""
    splits = split_folders(folder)
    # The test split of a contest has no class folders.
    parts = [part for split, several in splits.items() for part in several if split != "test"] or [folder]
    if all(part.classes and not is_too_high(part) for part in parts):
        return [folder]
    return [source for inside in folder.classes for source in find_sources(inside)]
