"""Compares the time in which data_prep writes photos with that of a plain TFDS builder, which checks nothing.

    python -m benchmarks.data_preparation --archive=flower_photos.tgz --archive=ILSVRC2012_img_val.tar --num_workers=4

Writes the photos of each tar as a training split, alternately in two ways, into the working folder. data_prep decodes
each photo to its end, measures its colours, repairs what TensorFlow would read otherwise, and keeps what a killed run
would need. `tfds.dataset_builders.store_as_tfds_dataset`, a `GeneratorBasedBuilder`, stores the encoded photos as they
are. Each pair of runs gives one ratio of times, so that other work on the machine slows both. The CPU seconds, of all
processes together, show what the checks cost.

Predicted: one process takes two to three times as long as TFDS, since it decodes every photo; from three or four
processes on it is faster, since TFDS serializes and shuffles in one. It was not so: TFDS is cheaper than that. Measured
with one process, on two cores so busy with other work that only CPU seconds count: 3.3 ms for a photo of ImageNet's
validation set and 1.1 ms for a flower, where TFDS takes 0.25 and 0.13 ms, 13 and 8 times less. So it would take about a
dozen processes to be as fast as TFDS, which looks at no photo.
"""

import dataclasses
import functools
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep import archives, builder
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Source, Split
from vgg_keras.data.class_folders import is_photo
from vgg_keras.utils import cli, console, paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.options import Options, option

# Photos that are written first, so that libraries are loaded.
_FIRST = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Flags of the benchmark."""

    archive: tuple[str, ...] = option((), "a tar of photos, compressed or not; again for more")
    copies: int = option(1, "how often each photo is written, so that a few keep processes busy for longer", lower=1)
    num_workers: int = option(0, "processes of data_prep; 0: one for each core", lower=0)
    repeats: int = option(5, "pairs of runs", lower=1)


@dataclasses.dataclass(frozen=True)
class Seconds:
    """How long a run took.

    Attributes:
        wall: seconds by the clock.
        cpu: seconds of all cores together, in this process and in those that it started and that have ended.
    """

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Seconds":
        """Returns both since some moment in the past."""
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in usages))

    def __sub__(self, earlier: "Seconds") -> "Seconds":
        return Seconds(self.wall - earlier.wall, self.cpu - earlier.cpu)


def list_photos(archive: Path) -> list[Piece]:
    """Returns the photos of a tar, compressed or not.

    Raises:
        UserError: the tar is damaged, or holds no photo.
    """
    with archives.open_tar(archive) as tar:
        members = [member for member in archives.tar_files(tar, archive) if is_photo(member.name)]
    if not members:
        raise UserError(f"--archive={archive} holds no photo")
    return [Piece(member.name, 0, member.size, member.offset_data) for member in members]


def make_source(archive: Path, photos: Sequence[Piece], copies: int = 1) -> Source:
    """Returns some photos of a tar, each several times, as a training split; the reader knows them by their marks."""
    pieces = Pieces.collect(photo._replace(key=f"{copy}/{photo.key}") for copy in range(copies) for photo in photos)
    split = Split(pieces, functools.partial(archives.make_readable, archive), archives.identity(archive))
    return Source("photos", "Photos of a benchmark.", ["photo"], ["photo"], {"train": split})


def write_checked(source: Source, folder: Path, num_workers: int) -> None:
    """Writes the photos of a source into a missing folder with data_prep."""
    builder.write_dataset(source, builder.PrepareOptions(output_dir=str(folder), num_workers=num_workers))


def write_plainly(source: Source, folder: Path) -> None:
    """Writes the encoded photos of a source into a missing folder with TFDS alone, as the same records."""
    # Imported here, since the processes of data_prep import this module too.
    import tensorflow_datasets as tfds

    from data_prep import records

    folder.mkdir()
    train = source.splits["train"]
    read = train.make_reader(folder)
    examples = (
        (piece.key, {"image": read(piece), "label": piece.label, "file_name": piece.key}) for piece in train.pieces
    )
    features = tfds.features.FeaturesDict(records.features(source))
    tfds.dataset_builders.store_as_tfds_dataset("photos", "1.0.0", features, {"train": examples}, data_dir=folder)


def measure(write: Callable[[Source, Path], None], source: Source) -> Seconds:
    """Returns how long it takes to write a source."""
    with tempfile.TemporaryDirectory(dir=".") as folder, console.speaking(False):
        started = Seconds.now()
        write(source, Path(folder) / "data")
        return Seconds.now() - started


def compare(archive: Path, options: BenchmarkOptions) -> None:
    """Prints how long both ways take for the photos of a tar."""
    photos = list_photos(archive)
    few, all_photos = make_source(archive, photos[:_FIRST]), make_source(archive, photos, options.copies)
    checked = functools.partial(write_checked, num_workers=options.num_workers or cpu_count())
    for write in (checked, write_plainly):  # loads the libraries, so that this is not timed
        measure(write, few)
    pairs = [(measure(checked, all_photos), measure(write_plainly, all_photos)) for _ in range(options.repeats)]
    count = len(photos) * options.copies
    print(f"{archive.name}, {count:,} photos:")
    for label, times in zip(("data_prep", "TFDS"), zip(*pairs, strict=True), strict=True):
        speed = count / min(one.wall for one in times)
        print(f"  {label}: {speed:.0f} photos/s, {1000 * min(one.cpu for one in times) / count:.2f} ms of CPU a photo")
    ratios = [plain.wall / ours.wall for ours, plain in pairs]
    print(f"  {statistics.median(ratios):.2f} times as fast (pairs: {min(ratios):.2f} to {max(ratios):.2f})")


def main(options: BenchmarkOptions) -> None:
    """Prints the photos per second of data_prep and of TFDS for each tar, and the ratio.

    Raises:
        UserError: no tar is given, or one cannot be used.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    if not options.archive:
        raise UserError("name tars of photos, each with --archive")
    for archive in options.archive:
        compare(paths.existing_file("archive", archive, "name a tar of photos"), options)


if __name__ == "__main__":
    cli.run(main, BenchmarkOptions)
