"""Writes the images of a source as TFRecords of a TFDS data set, after worker processes have checked them."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from data_prep.image_preparation import Preparation, PreparedImage, make_preparer
from data_prep.sources import RawImage, Source, some_names
from data_prep.summary import BAD_IMAGES, DatasetSummary, SplitSummary
from vgg_keras.data import rgb_statistics
from vgg_keras.data.labels import label_files
from vgg_keras.utils import cli, console, paths
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions(Options):
    """Flags of every verb of `data_prep` that writes records."""

    output_dir: str = option("", "folder of the data set; must be missing or empty", required=True, group="output")
    resize_smallest_side: int = option(
        0, "shrink larger images to this smallest side, in pixels; 0 keeps them", lower=0, group="output"
    )
    num_workers: int = option(
        0, "number of decoding processes; 0: one for each core; 1: the verb's own process decodes", lower=0, group="run"
    )
    skip_bad_images: bool = option(
        False, f"leave out images that do not decode, and list them in {BAD_IMAGES}", group="input"
    )


@contextlib.contextmanager
def _mapper(num_workers: int) -> Iterator[Callable]:
    """Yields a function from (function, raw images) to pairs of a raw image and the function's result, in order.

    It runs in `num_workers` processes (1: in this one), and holds only a few images in memory at a time.
    """
    if num_workers == 1:
        yield lambda function, raws: ((raw, function(raw.image_bytes)) for raw in raws)
        return
    # "spawn", since a forked copy of a process in which TensorFlow runs threads can hang.
    with concurrent.futures.ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as pool:

        def bounded_map(function: Callable, raws: Iterator[RawImage]) -> Iterator[tuple[RawImage, object]]:
            pending: collections.deque = collections.deque()
            for raw in raws:
                pending.append((raw, pool.submit(function, raw.image_bytes)))
                if len(pending) > 4 * num_workers:
                    done, future = pending.popleft()
                    yield done, future.result()
            for done, future in pending:
                yield done, future.result()

        yield bounded_map


@dataclasses.dataclass
class _SplitWriter:
    """The records of one split as tensorflow-datasets takes them; iterating prepares, checks and counts the images."""

    split: str
    source: Source
    preparation: Preparation
    mapper: Callable
    bad_images: list[str]
    moments: rgb_statistics.RgbMoments = dataclasses.field(default_factory=rgb_statistics.RgbMoments)
    summary: SplitSummary = dataclasses.field(default_factory=SplitSummary)

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        started = time.monotonic()
        keys: set[str] = set()
        total = self.source.num_images[self.split]
        results = self.mapper(make_preparer(self.preparation), self.source.splits[self.split]())
        for raw, result in progress_bar(self.split, total, " images", iterable=results):
            if raw.key in keys:
                raise UserError(f"{self.split}: the key {raw.key} appears twice; every image needs a name of its own")
            keys.add(raw.key)
            if isinstance(result, PreparedImage):
                yield raw.key, self._record(raw, result)
            else:
                self.bad_images.append(f"{self.split}\t{raw.key}\t{result}")
                console.warn(f"{self.split}: {raw.key} does not decode: {result}")
        self.summary.seconds = time.monotonic() - started
        if not self.summary.images_by_class:
            raise UserError(f"{self.split}: no images" + (" that decode" if keys else ""))

    def _record(self, raw: RawImage, prepared: PreparedImage) -> dict:
        self.summary.images_by_class[raw.label] += 1
        self.summary.image_bytes += len(prepared.image_bytes)
        self.summary.changes[prepared.change] += 1
        if prepared.moments:
            self.moments += prepared.moments
        return {"image": prepared.image_bytes, "label": raw.label, "file_name": raw.key}


def _check(
    source: Source, writers: dict[str, _SplitWriter], options: PrepareOptions, allow_empty_classes: bool
) -> None:
    """Refuses a data set with an empty class, or with bad images unless `skip_bad_images` is set."""
    bad_images = next(iter(writers.values())).bad_images
    if bad_images and not options.skip_bad_images:
        raise UserError(
            f"{len(bad_images)} images do not decode (listed above); nothing was written: "
            "repair or remove them, or leave them out with --skip_bad_images"
        )
    for split, writer in writers.items():
        seen = writer.summary.images_by_class
        empty = [name for index, name in enumerate(source.class_names) if not seen[index]]
        if empty and split == "train" and not allow_empty_classes:
            raise UserError(f"{split}: no images of class {some_names(empty)}")


def _write_side_files(source: Source, writers: dict[str, _SplitWriter], folder: Path) -> None:
    for name, text in label_files(source.class_names, source.label_names).items():
        (folder / name).write_text(text, encoding="utf-8")
    rgb_statistics.RgbStatistics.from_moments(writers["train"].moments).save(folder)
    if bad_images := writers["train"].bad_images:
        (folder / BAD_IMAGES).write_text("\n".join(bad_images) + "\n", encoding="utf-8")


def write_dataset(
    source: Source,
    options: PrepareOptions,
    *,
    only_jpeg: bool = False,
    upright: bool = True,
    allow_empty_classes: bool = False,
) -> DatasetSummary:
    """Writes a source as a TFDS data set, with label names, class indices and RGB statistics beside the records.

    Everything is written to `<output_dir>.incomplete`, which is renamed at the end, so that `output_dir` is complete or
    missing.

    Args:
        source: the images.
        options: the flags of the verb.
        only_jpeg: whether images of other formats are stored as JPEG.
        upright: whether images are turned upright by their EXIF orientation.
        allow_empty_classes: whether classes without training images are accepted.

    Returns:
        The numbers of images, bytes and files that were written.

    Raises:
        UserError: `output_dir` is not the path of a missing or empty folder, an image does not decode and
            `skip_bad_images` is off, a key appears twice, or a split or class is empty.
    """
    # Imported here, since worker processes import this module too and must not load TensorFlow.
    with cli.loading_libraries():
        from data_prep import records

    output_dir = paths.new_folder("output_dir", options.output_dir)
    incomplete = output_dir.with_name(output_dir.name + ".incomplete")
    shutil.rmtree(incomplete, ignore_errors=True)
    incomplete.mkdir(parents=True)
    preparation = Preparation(options.resize_smallest_side, only_jpeg, upright)
    bad_images: list[str] = []
    try:
        with _mapper(options.num_workers or cpu_count()) as mapper:
            writers = {
                split: _SplitWriter(
                    split, source, dataclasses.replace(preparation, measure=split == "train"), mapper, bad_images
                )
                for split in source.splits
            }
            written, num_shards = records.store(source, writers, incomplete)
        _check(source, writers, options, allow_empty_classes)
        _write_side_files(source, writers, written)
        if output_dir.exists():
            output_dir.rmdir()
        written.rename(output_dir)
    finally:
        shutil.rmtree(incomplete, ignore_errors=True)
    summaries = {
        split: dataclasses.replace(writer.summary, num_shards=num_shards[split]) for split, writer in writers.items()
    }
    return DatasetSummary(source, summaries, output_dir, bad_images)
