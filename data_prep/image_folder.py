"""Writes the photos of any folder of class folders as TFRecords.

    python -m data_prep.image_folder --source_dir=photos --output_dir=data/photos

Photos in `photos/<class>/...` are divided into a training and a validation split; those in `photos/train/<class>/...`
and `photos/validation/<class>/...` keep their split.
"""

import dataclasses
import fnmatch
import functools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import Listing, RawImage, Source, assign_split
from data_prep.summary import print_summary
from vgg_keras.data.photo_files import IMAGE_SUFFIXES
from vgg_keras.utils import cli
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolderOptions(PrepareOptions):
    """Flags of `data_prep.image_folder`."""

    source_dir: str = option("", "the folder of class folders", required=True)
    image_pattern: str = option("", "glob for the images' file names; empty takes the usual image suffixes")
    validation_fraction: float = option(
        0.1, "fraction of the photos that becomes the validation split", lower=0.0, upper=1.0
    )


def _class_folders(folder: Path, image_pattern: str) -> tuple[Listing, list[str]]:
    """Lists `folder/<class>/**`; returns the listing, and the files that are not images by their names."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    taken: list[tuple[str, str]] = []
    passed_over: list[tuple[str, str]] = []
    for class_name in classes:
        for path in sorted((folder / class_name).rglob("*")):
            key = path.relative_to(folder).as_posix()
            if image_pattern:
                matches = fnmatch.fnmatch(path.name, image_pattern)
            else:
                matches = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            if path.is_file():
                (taken if matches else passed_over).append((class_name, key))
    return Listing.from_files(taken, classes, str(folder)), [key for _, key in passed_over]


def image_folder(
    folder: Path, image_pattern: str, validation_fraction: float, name: str, note: Callable[[str], None] = print
) -> Source:
    """Returns a folder of photos as a source.

    Args:
        folder: a folder of class folders, or of the folders `train`, `validation` and, if there is one, `test`, each
            with class folders.
        image_pattern: glob pattern of the images' file names; "" takes those with one of IMAGE_SUFFIXES.
        validation_fraction: fraction, 0..1, of the images that `assign_split` puts into the validation split if the
            folder is not divided into splits already.
        name: TFDS name of the data set.
        note: function that shows a message about the files that are left out.

    Raises:
        UserError: the folder is missing, a class is empty, the splits' classes differ, or a split would be empty.
    """
    if not folder.is_dir():
        raise UserError(f"--source_dir={folder} is not a folder")
    folders = {split: folder / split for split in ("train", "validation", "test") if (folder / split).is_dir()}
    is_split = {"train", "validation"} <= set(folders)
    listings: dict[str, list[tuple[Path, str, int]]] = {}
    label_of: dict[str, int] = {}
    for split, split_folder in (folders if is_split else {"": folder}).items():
        listing, passed_over = _class_folders(split_folder, image_pattern)
        if passed_over:
            count, example = len(passed_over), passed_over[0]
            note(f"{split_folder}: passed over {count} files that are not images by name, such as {example}")
        classes = {class_name: index for index, class_name in enumerate(listing.class_names)}
        if label_of and classes != label_of:
            raise UserError(
                f"{split_folder} and {folder / 'train'} differ in classes: {sorted(classes.keys() ^ label_of.keys())}"
            )
        label_of = classes
        for class_name, key in listing.files:
            target = split or assign_split(key, validation_fraction)
            listings.setdefault(target, []).append((split_folder / key, key, label_of[class_name]))
    for split in ("train", "validation"):
        if split not in listings:
            raise UserError(f"{folder}: the {split} split would be empty; change --validation_fraction or add photos")

    def images(split: str) -> Iterator[RawImage]:
        for path, key, label in listings[split]:
            yield RawImage(key, path.read_bytes(), label)

    class_names = list(label_of)
    return Source(
        name=name,
        description=f"Images of {len(class_names)} classes from a folder.",
        class_names=class_names,
        label_names=class_names,
        splits={split: functools.partial(images, split) for split in sorted(listings)},
        num_images={split: len(files) for split, files in listings.items()},
    )


def main(options: ImageFolderOptions) -> None:
    """Writes a folder of photos as TFRecords and prints a summary."""
    name = Path(options.output_dir).resolve().name
    source = image_folder(Path(options.source_dir), options.image_pattern, options.validation_fraction, name)
    summary = write_dataset(source, options)
    print_summary(summary)


run = partial(cli.run, main, ImageFolderOptions)

if __name__ == "__main__":
    run()
