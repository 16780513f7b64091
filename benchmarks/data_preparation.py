"""Measures in what time data_prep writes photos, which it checks, against a plain TFDS builder, which does not.

Both ways write the same encoded photos as the same records of a training split, on the disk of the folder for temporary
files. `data_prep` decodes each photo to its end, measures its colours, repairs what TensorFlow would read otherwise,
counts where the records lie, keeps what a killed run would need, and makes sure that all of it has reached the disk.

NOTE: the peer, `tfds.dataset_builders.store_as_tfds_dataset`, does none of this. It stores the bytes as they are, also
those of a photo that no program can decode. The ratio tells what the checks cost; it does not compare two ways to do
the same work.

Predicted first: one process takes two to three times as long as TFDS, since it decodes every photo; from three or four
processes on it is faster, since TFDS serializes and shuffles in one. It was not so: TFDS is cheaper than that. Measured
in CPU time before this benchmark reported intervals, in one process, on two cores busy with other work: 3.3 ms for a
photo of ImageNet's validation set and 1.1 ms for a flower, where TFDS takes 0.25 and 0.13 ms, 13 and 8 times less. So
the ratio should be about 0.08 in one process and, in N, hardly N times as much, since each run starts the processes
anew: it would take more than a dozen to be as fast as TFDS, which looks at no photo.
"""

import contextlib
import functools
import io
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from data_prep import builder, records
from data_prep.sources import Source
from vgg_keras.utils import cli, console
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.words import counted

# So many photos that the start of the processes takes a small part of the time.
_PHOTOS, _QUICK_PHOTOS, _COPIES = 250, 16, 8
# Function from a source and a missing folder, into which it writes the source.
Write = Callable[[Source, Path], None]


def write_checked(source: Source, folder: Path, num_workers: int) -> None:
    """Writes the photos of a source into a missing folder with data_prep, in some processes."""
    builder.write_dataset(source, builder.PrepareOptions(output_dir=str(folder), num_workers=num_workers))


def write_plainly(source: Source, folder: Path) -> None:
    """Writes the encoded photos of a source into a missing folder with TFDS alone, as the same records."""
    folder.mkdir()
    train = source.splits["train"]
    read = train.make_reader(folder)
    examples = (
        (piece.key, {"image": read(piece), "label": piece.label, "file_name": piece.key}) for piece in train.pieces
    )
    features = tfds.features.FeaturesDict(records.features(source))
    tfds.dataset_builders.store_as_tfds_dataset("photos", "1.0.0", features, {"train": examples}, data_dir=folder)


def cpu_seconds() -> float:
    """Returns the CPU seconds of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Holds back what data_prep and TFDS tell while they write."""
    with console.speaking(False), cli.quiet_logs(), contextlib.redirect_stdout(io.StringIO()):
        yield


def make_sides(archive: Path, copies: int, num_workers: int) -> Mapping[str, Callable[[], Any]]:
    """Returns both sides, and a function to what they cost in CPU time, by their names.

    Args:
        archive: a tar of photos.
        copies: how often each photo is written.
        num_workers: number of processes of data_prep.
    """
    tfds.disable_progress_bar()
    source = materials.training_source(archive, copies)
    spent: dict[str, list[float]] = {"ours": [], "peer": []}

    def side(name: str, write: Write) -> Side:
        def seconds() -> float:
            with tempfile.TemporaryDirectory(dir=archive.parent) as folder, _silence():
                started, cpu_started = time.perf_counter(), cpu_seconds()
                write(source, Path(folder) / "data")
                taken, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
            spent[name].append(cpu)
            return taken

        return seconds

    def details() -> str:
        count = len(source.splits["train"].pieces)
        ours, peer = (1000 * statistics.median(seconds) / count for seconds in spent.values())
        return f"{ours:.2f} ms of CPU a photo in place of {peer:.2f}"

    checked = functools.partial(write_checked, num_workers=num_workers)
    return {"ours": side("ours", checked), "peer": side("peer", write_plainly), "details": details}


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for one process of data_prep, and one for as many as there are cores."""
    photos = materials.encoded_photos(settings, "train", _QUICK_PHOTOS if settings.quick else _PHOTOS)
    archive = materials.pack(photos, settings.scratch / "photos.tar")
    with contextlib.ExitStack() as processes:
        figures = []
        for num_workers in dict.fromkeys((1, cpu_count())):
            made = processes.enter_context(sides.in_process(make_sides, archive, _COPIES, num_workers))
            name = f"{len(photos) * _COPIES:,} photos, {counted(num_workers, 'process', 'processes')}"
            figures.append(Figure(name=name, **made))
        yield figures


BENCHMARK = Benchmark(
    ours="data_prep.builder.write_dataset: every photo is decoded to its end, measured, and repaired if need be",
    peer="tfds.dataset_builders.store_as_tfds_dataset: the same bytes are stored, and no photo is looked at",
    prepare=prepare,
)
