"""Any folder of class folders to TFRecords.

    python -m data_prep.image_folder --source_dir=photos --output_dir=data/photos

`photos/<class>/...` is split for you; `photos/train/<class>/...` and `photos/validation/<class>/...` are taken as they
are.
"""

import dataclasses
import fnmatch
from collections.abc import Callable, Iterator
from pathlib import Path

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import Listing, RawImage, Source, assign_split
from data_prep.summary import print_summary
from vgg_keras.data.photo_files import IMAGE_SUFFIXES
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option


@dataclasses.dataclass(frozen=True)
class ImageFolderOptions(PrepareOptions):
    """Flags of `data_prep.image_folder`."""

    source_dir: str = option("", "the folder of class folders", required=True)
    image_pattern: str = option("", "glob for the images' file names; empty takes the usual image suffixes")
    validation_fraction: float = option(0.1, "the part that becomes the validation split", lower=0.0, upper=1.0)


def _class_folders(folder: Path, image_pattern: str) -> tuple[Listing, list[str]]:
    """Lists `folder/<class>/**`; returns the listing and the files that were passed over."""
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    taken, passed_over = [], []
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
    """Any folder of class folders, or one that is split into `train/` and `validation/` (and `test/`) already.

    Args:
        folder: the folder.
        image_pattern: glob for file names; "" takes the usual image suffixes.
        validation_fraction: the part that `split_of` gives to validation where the folder is not split.
        name: the TFDS name.
        note: is told of the files that were passed over.

    Raises:
        UserError: the folder is missing, a class is empty, the splits' classes differ, or a split would be empty.
    """
    if not folder.is_dir():
        raise UserError(f"--source_dir={folder} is not a folder")
    folders = {split: folder / split for split in ("train", "validation", "test") if (folder / split).is_dir()}
    is_split = {"train", "validation"} <= set(folders)
    listings, label_of = {}, {}
    for split, place in (folders if is_split else {"": folder}).items():
        listing, passed_over = _class_folders(place, image_pattern)
        if passed_over:
            note(f"{place}: passed over {len(passed_over)} files that are not images by name, such as {passed_over[0]}")
        classes = {class_name: index for index, class_name in enumerate(listing.class_names)}
        if label_of and classes != label_of:
            raise UserError(
                f"{place} and {folder / 'train'} differ in classes: {sorted(classes.keys() ^ label_of.keys())}"
            )
        label_of = classes
        for class_name, key in listing.files:
            target = split or assign_split(key, validation_fraction)
            listings.setdefault(target, []).append((place / key, key, label_of[class_name]))
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
        splits={split: lambda split=split: images(split) for split in sorted(listings)},
        num_images={split: len(files) for split, files in listings.items()},
    )


def main(options: ImageFolderOptions) -> None:
    """Writes the data set of a folder."""
    name = Path(options.output_dir).resolve().name
    source = image_folder(Path(options.source_dir), options.image_pattern, options.validation_fraction, name)
    summary = write_dataset(source, options)
    print_summary(summary)


if __name__ == "__main__":
    cli.run(main, ImageFolderOptions)
