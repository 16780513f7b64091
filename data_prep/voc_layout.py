"""Finds the photos, the annotations and the image sets in a folder of PASCAL VOC's layout."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from data_prep.sources import some_names
from vgg_keras.data.class_folders import SPLIT_NAMES, is_photo
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.escaping import file_text, visible
from vgg_keras.utils.shell import flag
from vgg_keras.utils.words import counted

PHOTOS, ANNOTATIONS, IMAGE_SETS = "JPEGImages", "Annotations", "ImageSets"
# VOC gives the first column and the first row of pixels the number 1.
FIRST_PIXEL = 1
# Training and validation images together.
_BOTH = "trainval"
# Folders below the given one in which the layout is looked for, as in VOCdevkit/VOC2007.
_MAX_DEPTH = 3


class Faults:
    """Collects images that cannot be used, which end the reading unless they are to be skipped.

    Attributes:
        lines: a line for each image that is left out: split, key and reason.

    Args:
        skip: whether such images are left out.
    """

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self.lines: list[str] = []

    def add(self, split: str, key: str, file: Path, why: str) -> None:
        """Takes an image that cannot be used.

        Raises:
            UserError: such images are not to be skipped.
        """
        if not self._skip:
            raise UserError(f"{file}: {why}; mend it, or leave out such images with --skip_bad_images")
        console.warn(f"{split}: {visible(key)} cannot be used: {visible(file.name)}: {why}")
        self.lines.append(f"{split}\t{visible(key)}\t{visible(file.name)}: {why}")


@dataclasses.dataclass(frozen=True)
class Layout:
    """A folder of VOC's layout.

    Attributes:
        root: the folder that holds `JPEGImages`, `Annotations` and `ImageSets`.
        photos: path of each photo below `JPEGImages`, by the same path without its suffix.
        annotations: the XML file of each photo that has one, by the same path as the photo's.
        image_sets: the names of the images of each split, in the order of its file.
        files: the file of each split's image set, for messages.
    """

    root: Path
    photos: Mapping[str, str]
    annotations: Mapping[str, Path]
    image_sets: Mapping[str, list[str]]
    files: Mapping[str, Path]


def read_layout(source_dir: Path, note: Callable[[str], None]) -> Layout:
    """Lists a folder of VOC's layout; no photo and no annotation is read.

    Args:
        source_dir: the folder that holds `JPEGImages`, `Annotations` and `ImageSets`, or one above it.
        note: function that shows a message about what is passed over.

    Raises:
        UserError: there is no such folder or more than one, an image set is missing, empty, or names an image twice or
            one of another set, or two photos differ in their suffixes alone.
    """
    root = find_root(source_dir)
    image_sets, files = _read_image_sets(root, note)
    return Layout(root, list_photos(root / PHOTOS), list_annotations(root / ANNOTATIONS), image_sets, files)


def find_root(source_dir: Path) -> Path:
    """Returns the only folder, the given one or one below it, that holds the three folders of the layout.

    Raises:
        UserError: there is none, or more than one.
    """
    parts = (PHOTOS, ANNOTATIONS, IMAGE_SETS)
    found: list[Path] = []
    level = [source_dir]
    for _ in range(_MAX_DEPTH):
        found = [folder for folder in level if all((folder / part).is_dir() for part in parts)]
        if found:
            break
        level = [
            inside
            for folder in level
            for inside in sorted(folder.iterdir())
            if inside.is_dir() and not inside.name.startswith(".") and inside.name not in parts
        ]
    if not found:
        raise UserError(
            f"{flag('source_dir', source_dir)} holds no folder with {PHOTOS}, {ANNOTATIONS} and {IMAGE_SETS} in it, as "
            "PASCAL VOC has them; name the folder above them"
        )
    if len(found) > 1:
        flags = some_names([flag("source_dir", folder) for folder in found])
        raise UserError(f"{flag('source_dir', source_dir)} holds {len(found)} data sets; use one of {flags}")
    return found[0]


def _list_files(folder: Path, wanted: Callable[[str], bool]) -> dict[str, Path]:
    """Returns the files at any depth of a folder, sorted, by their paths below it without the suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if wanted(path.name) and path.is_file():
            name = file_text(path.relative_to(folder).with_suffix("").as_posix())
            if name in found:
                raise UserError(
                    f"{path} and {found[name].name} have the same name but for the suffix; rename one of them"
                )
            found[name] = path
    return found


def list_photos(folder: Path) -> dict[str, str]:
    """Returns the paths of the photos at any depth of a folder, below it, by the same paths without their suffixes.

    Raises:
        UserError: two photos differ in their suffixes alone.
    """
    return {name: path.relative_to(folder).as_posix() for name, path in _list_files(folder, is_photo).items()}


def list_annotations(folder: Path) -> dict[str, Path]:
    """Returns the XML files at any depth of a folder by their paths below it without the suffix."""
    return _list_files(folder, lambda name: name.lower().endswith(".xml") and not name.startswith("."))


def _find_sets(root: Path) -> dict[str, list[Path]]:
    """Returns the text files of the image sets by what they hold; those of single classes and others under ""."""
    top = root / IMAGE_SETS
    # Main is the folder of classification and detection; beside it VOC has Layout, Segmentation and Action.
    folders = [folder for folder in (top / "Main", top) if any(folder.glob("*.txt"))] or [
        folder for folder in sorted(top.rglob("*")) if folder.is_dir() and any(folder.glob("*.txt"))
    ]
    if len(folders) > 1 and folders[0].name != "Main":
        raise UserError(f"{top}: image sets lie in {some_names([str(folder) for folder in folders])}; keep one of them")
    found: dict[str, list[Path]] = {}
    for path in sorted(folders[0].glob("*.txt")) if folders else ():
        stem = path.stem.lower()
        found.setdefault(_BOTH if stem == _BOTH else SPLIT_NAMES.get(stem, ""), []).append(path)
    return found


def _read_image_sets(root: Path, note: Callable[[str], None]) -> tuple[dict[str, list[str]], dict[str, Path]]:
    found = _find_sets(root)
    others = found.pop("", [])
    for several in found.values():
        if len(several) > 1:
            raise UserError(f"{several[0]} and {several[1].name} are of the same split; remove one of them")
    files = {split: several[0] for split, several in found.items()}
    names = {split: _read_names(path) for split, path in files.items()}
    _derive(names, files)
    for split, usual in (("train", "train"), ("validation", "val")):
        if split in names and not names[split]:
            raise UserError(f"{files[split]} names no image; list the images of the {split} split there, one a line")
        if split not in names:
            there = [path.name for several in found.values() for path in several] + [path.name for path in others]
            raise UserError(
                f"{root / IMAGE_SETS} has no image set {usual}.txt; it has {some_names(there) or 'no other'}"
                f"{did_you_mean(f'{usual}.txt', [path.name for path in others])}; "
                "list the names of its images there, without their suffix, one a line"
            )
    check_apart(names, files)
    # VOC has a file such as aeroplane_train.txt for each class and split.
    passed_over = [path for path in others if path.stem.rpartition("_")[2].lower() not in {*SPLIT_NAMES, _BOTH}]
    if passed_over:
        note(f"{root}: passed over image sets of no split: {some_names([path.name for path in passed_over])}")
    order = [split for split in ("train", "validation", "test") if split in names]
    return {split: names[split] for split in order}, files


def _read_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; it should have the name of an image in each line") from None
    names = [line.strip() for line in lines if line.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{path} names {visible(twice[0])} more than once; remove the repetition")
    return names


def _derive(names: dict[str, list[str]], files: dict[str, Path]) -> None:
    """Makes the training or the validation set, if one of them is missing, of what the other leaves of both."""
    both, path = names.pop(_BOTH, []), files.pop(_BOTH, None)
    missing = {"train", "validation"} - names.keys()
    if path and len(missing) == 1:
        (split,) = missing
        other = set(names["train" if split == "validation" else "validation"])
        names[split], files[split] = [name for name in both if name not in other], path


def check_apart(names: Mapping[str, list[str]], files: Mapping[str, Path]) -> None:
    """Checks that no image is in two splits.

    Args:
        names: names of the images of each split.
        files: the file of each split, for messages.

    Raises:
        UserError: an image is.
    """
    splits = list(names)
    for number, split in enumerate(splits):
        for other in splits[number + 1 :]:
            if shared := sorted({*names[split]} & {*names[other]}):
                raise UserError(
                    f"{files[split]} and {files[other].name} share {counted(len(shared), 'image')}, such as "
                    f"{visible(shared[0])}; an image may be in one split alone"
                )
