"""Writes the photos of any folder of class folders as TFRecords.

    python -m data_prep.image_folder --source_dir=photos --output_dir=data/photos

Photos in `photos/<class>/...` are divided into a training and a validation split, in each class by the same fraction;
those in `photos/train/<class>/...`, `photos/validation/<class>/...` and, if there is one, `photos/test/<class>/...`
keep their split. The folders of the splits may also be named `training`, `val`, `valid` and `testing`. Hidden folders
and thumbnails are left out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from data_prep import folder_checks
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.pieces import FileReader, Pieces, file_piece
from data_prep.sources import Listing, Source, Split, choose_validation
from data_prep.summary import FROM_SCRATCH, Recipe, print_summary
from vgg_keras.data.class_folders import Folder, list_folder
from vgg_keras.utils import cli, console, paths
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import PathLike, option

# The address from which keras.applications downloads VGG16's convolutions (59 MB).
_WEIGHTS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
_RECIPES = (
    Recipe(
        "train on it from ImageNet's convolutions, which are downloaded",
        {"flagfile": "configs/my_photos.cfg", "init_from": "keras_applications"},
        note=f"without a network, fetch {_WEIGHTS} elsewhere, and give the file as --init_from=FILE",
    ),
    dataclasses.replace(FROM_SCRATCH, title="or from scratch", run_suffix="_from_scratch"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolderOptions(PrepareOptions):
    """Flags of `data_prep.image_folder`."""

    source_dir: PathLike = option("", "the folder of class folders", required=True, group="input", path=True)
    image_pattern: str = option(
        "",
        "glob for the images' file names, upper and lower case alike; empty takes the usual image suffixes",
        group="input",
    )
    validation_fraction: float = option(
        0.1,
        "fraction of the photos of each class that becomes the validation split",
        lower=0.0,
        upper=1.0,
        group="input",
    )
    as_is: bool = option(False, "take the folder as it is, even if it looks one level too high", group="input")


def _listing(folder: Folder) -> Listing:
    """Lists the photos of an undivided folder: class names, and keys relative to the folder.

    Raises:
        UserError: there are no class folders, or one is empty or has a name that cannot be that of a class.
    """
    names = [class_folder.name for class_folder in folder.folders]
    folder_checks.check_class_names(names, str(folder.path))
    files = [
        (class_folder.name, photo.relative_to(folder.path).as_posix())
        for class_folder in folder.folders
        for photo in class_folder.all_photos()
    ]
    return Listing.from_files(files, names, str(folder.path))


def _split(name: str, folder: Path, photos: Sequence[tuple[str, int]]) -> Split:
    """Lists the photos of a split, pairs (key, label), with their sizes, and shows the progress."""
    listed = progress_bar(f"listing {name}", len(photos), " images", iterable=photos, leave=False)
    pieces = Pieces.collect(file_piece(folder, key, label) for key, label in listed)
    return Split(pieces, lambda _: FileReader(folder))


def image_folder(
    path: Path,
    image_pattern: str,
    validation_fraction: float,
    name: str,
    note: Callable[[str], None] = console.say,
    *,
    as_is: bool = False,
) -> Source:
    """Returns a folder of photos as a source.

    Args:
        path: a folder of class folders, or of the folders of the splits, each with class folders.
        image_pattern: glob pattern of the images' file names; "" takes those with one of IMAGE_SUFFIXES.
        validation_fraction: fraction, 0..1, of the images of each class that `choose_validation` puts into the
            validation split if the folder has no validation split already.
        name: TFDS name of the data set.
        note: function that shows a message about the files and folders that are left out.
        as_is: whether a folder is accepted that looks one level too high.

    Raises:
        UserError: the folder looks one level too high, or too low; a class is empty, the splits' classes differ, or a
            split would be empty.
    """
    folder = list_folder(path, image_pattern)
    splits = folder_checks.find_splits(folder, note)
    listings: dict[str, list[tuple[str, int]]] = {}
    folder_of: dict[str, Path] = {}
    for split, split_folder in splits.items():
        folder_checks.note_what_is_left_out(split_folder, note)
        folder_checks.check_level(split_folder, divided=split_folder is not folder, as_is=as_is)
        listing = _listing(split_folder)
        folder_checks.note_escaped_names(split_folder, note)
        folder_checks.check_same_classes(splits["train"], split_folder)
        label_of = {class_name: index for index, class_name in enumerate(listing.class_names)}
        divide = split == "train" and "validation" not in splits
        held_out = choose_validation(listing.files, validation_fraction) if divide else ()
        for class_name, key in listing.files:
            target = "validation" if key in held_out else split
            listings.setdefault(target, []).append((key, label_of[class_name]))
            folder_of[target] = split_folder.path
    for split in ("train", "validation"):
        if split not in listings:
            raise UserError(f"{path}: the {split} split would be empty; change --validation_fraction or add photos")

    class_names = list(label_of)
    return Source(
        name=name,
        description=f"Images of {len(class_names)} classes from a folder.",
        class_names=class_names,
        label_names=class_names,
        splits={split: _split(split, folder_of[split], listings[split]) for split in sorted(listings)},
    )


def main(options: ImageFolderOptions) -> None:
    """Writes a folder of photos as TFRecords and prints a summary."""
    source_dir = paths.existing_folder(
        "source_dir", options.source_dir, "name the folder that holds a folder of photos for each class"
    )
    source = image_folder(
        source_dir,
        options.image_pattern,
        options.validation_fraction,
        Path(options.output_dir).resolve().name,
        as_is=options.as_is,
    )
    print_summary(write_dataset(source, options), _RECIPES)


run = partial(cli.run, main, ImageFolderOptions)

if __name__ == "__main__":
    run()
