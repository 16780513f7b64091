"""The flower set (3,670 photos, five classes) to TFRecords.

python -m data_prep.flowers --archive=flower_photos.tgz --output_dir=data/flowers
"""

import dataclasses
import fnmatch
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import Listing, RawImage, Source, assign_split, open_tar, tar_files
from data_prep.summary import print_summary
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option

URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"


@dataclasses.dataclass(frozen=True)
class FlowersOptions(PrepareOptions):
    """Flags of `data_prep.flowers`."""

    archive: str = option(
        "", "flower_photos.tgz; without it the official archive is downloaded and its SHA-256 checked"
    )
    image_pattern: str = option("*.jpg", "glob for the photos' file names")


def download() -> Path:
    """Downloads the official archive into Keras's cache, unless it is there, and checks its SHA-256.

    Raises:
        UserError: it cannot be fetched, or is not the official file.
    """
    import keras  # only this way of the verb needs it, and it takes seconds to import

    try:
        return Path(keras.utils.get_file("flower_photos.tgz", URL, file_hash=SHA256, hash_algorithm="sha256"))
    except Exception as error:  # get_file raises plain Exception
        raise UserError(f"cannot download {URL} ({error}); download it by hand and name it with --archive") from error


def flower_archive(archive: Path, image_pattern: str, name: str = "flower_photos") -> Source:
    """The flower set: one compressed tar of class folders, split 9:1 by `split_of`.

    Args:
        archive: a tar with files `<folder>/<class>/<photo>`.
        image_pattern: glob for the photos' file names.
        name: the TFDS name.

    Raises:
        UserError: the archive is missing or damaged, a class is empty, or a photo is there twice.
    """

    def members() -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo, str, str]]:
        with open_tar(archive) as tar:
            for member in tar_files(tar, archive):
                parts = member.name.split("/")
                if len(parts) == 3 and fnmatch.fnmatch(parts[2], image_pattern):
                    yield tar, member, parts[1], f"{parts[1]}/{parts[2]}"

    found = [(class_name, key) for _, _, class_name, key in members()]
    listing = Listing.from_files(
        found, {class_name for class_name, _ in found}, f"{archive} (as <folder>/<class>/{image_pattern})"
    )
    label_of = {class_name: index for index, class_name in enumerate(listing.class_names)}

    def images(split: str) -> Iterator[RawImage]:
        for tar, member, class_name, key in members():
            if assign_split(key) == split:
                yield RawImage(key, tar.extractfile(member).read(), label_of[class_name])

    counts = Counter(assign_split(key) for _, key in listing.files)
    return Source(
        name=name,
        description="Flower photos in five classes; each photo is CC-BY by its photographer.",
        class_names=listing.class_names,
        label_names=listing.class_names,
        splits={split: lambda split=split: images(split) for split in ("train", "validation")},
        num_images=counts,
    )


def main(options: FlowersOptions) -> None:
    """Writes the flower set."""
    archive = Path(options.archive) if options.archive else download()
    summary = write_dataset(flower_archive(archive, options.image_pattern), options)
    print_summary(summary)


if __name__ == "__main__":
    cli.run(main, FlowersOptions)
