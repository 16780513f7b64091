"""Writes the flower set (3,670 photos, five classes) as TFRecords.

python -m data_prep.flowers --archive=flower_photos.tgz --output_dir=data/flowers
"""

import dataclasses
import functools
from functools import partial
from pathlib import Path, PurePosixPath

from data_prep import folder_checks
from data_prep.archives import identity, make_readable, open_tar, tar_files, unpacked_bytes
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Listing, Source, Split, assign_split
from data_prep.summary import FROM_SCRATCH, print_summary
from vgg_keras.data.class_folders import is_photo
from vgg_keras.utils import cli, paths, shell
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import file_text
from vgg_keras.utils.options import PathLike, option

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlowersOptions(PrepareOptions):
    """Flags of `data_prep.flowers`."""

    archive: PathLike = option(
        "",
        "flower_photos.tgz; without it the official archive is downloaded and its SHA-256 checked",
        group="input",
        path=True,
    )
    image_pattern: str = option("*.jpg", "glob for the photos' file names, upper and lower case alike", group="input")


def download() -> Path:
    """Downloads the official archive to Keras's cache, unless it is cached already, and checks its SHA-256.

    Returns:
        The path of the archive.

    Raises:
        UserError: the archive cannot be downloaded, or is not the official file.
    """
    with cli.loading_libraries():
        import keras  # imported here: only a download needs it, and the import takes seconds

    try:
        return Path(keras.utils.get_file("flower_photos.tgz", URL, file_hash=SHA256, hash_algorithm="sha256"))
    except Exception as error:  # get_file raises plain Exception
        raise UserError(f"cannot download {URL} ({error}); download it by hand and name it with --archive") from error


def _example(archive: Path) -> str:
    """Returns what an archive holds in place of photos, for a message."""
    with open_tar(archive) as tar:
        first = next(tar_files(tar, archive), None)
    if not first:
        return "no file at all"
    return f"files such as {first.name}; pack it in that layout, or give another --image_pattern"


def flower_archive(archive: Path, image_pattern: str, name: str = "flower_photos") -> Source:
    """Returns the flower set as a source: a tar of class folders, split 9:1 by `assign_split`.

    Args:
        archive: a tar, compressed or not, of files `<folder>/<class>/<photo>`.
        image_pattern: glob pattern of the photos' file names.
        name: TFDS name of the data set.

    Raises:
        UserError: the archive is missing or damaged, no file matches, or a photo appears twice.
    """

    found: list[tuple[str, str, int, int]] = []
    with open_tar(archive) as tar:
        for member in progress_bar("listing", None, " files", iterable=tar_files(tar, archive), leave=False):
            # Without the "./" that some archives begin names with.
            parts = PurePosixPath(file_text(member.name)).parts
            if len(parts) == 3 and is_photo(parts[2], image_pattern):
                found.append((parts[1], f"{parts[1]}/{parts[2]}", member.size, member.offset_data))
    if not found:
        raise UserError(f"{archive} holds no file <folder>/<class>/{image_pattern}, but {_example(archive)}")
    class_names = {class_name for class_name, *_ in found}
    folder_checks.check_class_names(class_names, str(archive))
    listing = Listing.from_files([(class_name, key) for class_name, key, *_ in found], class_names, str(archive))
    label_of = {class_name: index for index, class_name in enumerate(listing.class_names)}
    pieces = {
        split: Pieces.collect(
            Piece(key, label_of[class_name], size, offset)
            for class_name, key, size, offset in found
            if assign_split(key) == split
        )
        for split in ("train", "validation")
    }
    make_reader, origin = functools.partial(make_readable, archive), identity(archive)
    return Source(
        name=name,
        description="Flower photos in five classes; each photo is CC-BY by its photographer.",
        class_names=listing.class_names,
        label_names=listing.class_names,
        splits={split: Split(some, make_reader, origin) for split, some in pieces.items()},
        temporary_bytes=unpacked_bytes(archive, *pieces.values()),
    )


def main(options: FlowersOptions) -> None:
    """Writes the flower set as TFRecords and prints a summary."""
    if options.archive:
        folder_command = shell.command(
            "data_prep.image_folder", source_dir=options.archive, output_dir=options.output_dir
        )
        archive = paths.existing_file("archive", options.archive, f"name the tar, or use {folder_command}")
    else:
        archive = download()
    summary = write_dataset(flower_archive(archive, options.image_pattern), options)
    print_summary(summary, [FROM_SCRATCH])


run = partial(cli.run, main, FlowersOptions)

if __name__ == "__main__":
    run()
