"""Writes the images of a source as the records of a TFDS data set, part by part and in worker processes."""

import dataclasses
import functools
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.image_preparation import Preparation
from data_prep.parts import PartResult, join_files
from data_prep.pools import PartPool, PoolOptions, make_pool
from data_prep.sources import Source, some_names
from data_prep.summary import BAD_IMAGES, DatasetSummary, SplitSummary
from vgg_keras.data import rgb_statistics
from vgg_keras.data.labels import label_files
from vgg_keras.data.rgb_statistics import RgbMoments
from vgg_keras.utils import cli, console, locks, paths
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import sync, sync_tree, write_atomically
from vgg_keras.utils.options import NEW_FOLDER, PathLike, option
from vgg_keras.utils.words import counted

if TYPE_CHECKING:
    from data_prep.plan import Plan, Section, SplitPlan


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions(PoolOptions):
    """Flags of every verb of `data_prep` that writes records."""

    output_dir: PathLike = option(
        "",
        "folder of the data set; missing, empty, or the same data set",
        required=True,
        group="output",
        output=NEW_FOLDER,
    )
    resize_smallest_side: int = option(
        0, "shrink larger images to this smallest side, in pixels; 0 keeps them", lower=0, group="output"
    )
    skip_bad_images: bool = option(
        False, f"leave out images that do not decode, or have wrong boxes, and list them in {BAD_IMAGES}", group="input"
    )

    def check_outputs(self) -> None:
        """Checks that the data set can be written; one that is finished is compared with the source later.

        Raises:
            UserError: `output_dir` is not the path of a missing or empty folder, or the working folder beside it
                cannot be used; Apache Beam is not installed, or does not accept its options.
        """
        # Imported here, since worker processes import this module too.
        from data_prep import unfinished
        from data_prep.preparation_record import is_prepared

        if not is_prepared(self.output_dir):
            super().check_outputs()
            unfinished.require_usable(paths.local_path("output_dir", self.output_dir), self)
            self.check_runner()


def _check_classes(source: Source, images_by_class: Mapping[int, int]) -> None:
    """Refuses a training split in which a class is empty."""
    empty = [name for index, name in enumerate(source.class_names) if not images_by_class.get(index)]
    if empty:
        raise UserError(
            f"train: no image of class {some_names(empty)} is left to learn from; add some to the training images, or "
            "leave the class out of the other splits, too"
        )


def _write_split(split: "SplitPlan", pool: PartPool, folder: Path) -> list[PartResult]:
    """Writes the parts of a split, and returns what they hold in the order of the records."""
    read = split.split.make_reader(folder)
    results: dict[str, PartResult] = {}
    with progress_bar(split.name, len(split.order), " images") as bar:
        for result in pool.run((split.part(section, read) for section in split.sections), bar.update):
            results[result.digest] = result
            for key, why in result.bad_images:
                console.warn(f"{split.name}: {key} cannot be used: {why}")
    return [results[section.digest] for section in split.sections]


def _summarise(
    split: "SplitPlan", results: Sequence[PartResult], seconds: float, kept: Collection["Section"]
) -> SplitSummary:
    return SplitSummary(
        images_by_class=sum((result.images_by_class for result in results), Counter()),
        image_bytes=sum(result.image_bytes for result in results),
        changes=sum((result.changes for result in results), Counter()),
        boxes=sum((result.boxes for result in results), Counter()),
        num_shards=len(split.shards),
        seconds=seconds,
        # Not the images that were left out as bad, which no split has.
        num_kept=sum(
            result.num_images for section, result in zip(split.sections, results, strict=True) if section in kept
        ),
    )


def _write_splits(
    plan: "Plan", options: PrepareOptions, kept: Collection["Section"]
) -> tuple[dict[str, list[PartResult]], dict[str, SplitSummary]]:
    """Writes the parts of all splits; returns what they hold, and the summary, of each split."""
    results, summaries = {}, {}
    num_parts = max(len(split.sections) for split in plan.splits)
    with make_pool(options, plan.tasks_folder, num_parts) as pool:
        for split in plan.splits:
            started = time.monotonic()
            results[split.name] = _write_split(split, pool, plan.folder)
            summaries[split.name] = _summarise(split, results[split.name], time.monotonic() - started, kept)
    return results, summaries


def _check_images(
    source: Source,
    summaries: Mapping[str, SplitSummary],
    bad_images: Sequence[str],
    *,
    skip: bool,
    allow_empty_classes: bool,
) -> None:
    """Refuses bad images unless they are to be skipped, and splits and classes that are empty without them."""
    if bad_images and not skip:
        raise UserError(
            f"{counted(len(bad_images), 'image')} cannot be used (listed above), so that no data set was written: "
            "repair or remove them, or leave them out with --skip_bad_images; what is finished is kept for that"
        )
    for split, summary in summaries.items():
        if not summary.num_images:
            raise UserError(f"{split}: no images that can be used")
    if not allow_empty_classes:
        _check_classes(source, summaries["train"].images_by_class)


def _write_records(plan: "Plan", results: Mapping[str, Sequence[PartResult]]) -> dict[str, list[int]]:
    """Joins the sections of each record file; returns for each split the numbers of records of its files."""
    lengths: dict[str, list[int]] = {}
    for split in plan.splits:
        remaining = iter(results[split.name])
        for shard, sections in split.shards.items():
            lengths.setdefault(split.name, []).append(sum(next(remaining).num_images for _ in sections))
            if len(sections) > 1:
                write_atomically(shard, functools.partial(join_files, [section.path for section in sections]))
    return lengths


def _write_side_files(source: Source, moments: RgbMoments, bad_images: Sequence[str], folder: Path) -> None:
    for name, text in label_files(source.class_names, source.label_names).items():
        (folder / name).write_text(text, encoding="utf-8")
    rgb_statistics.RgbStatistics.from_moments(moments).save(folder)
    if bad_images:
        lines = "\n".join(bad_images) + "\n"
        (folder / BAD_IMAGES).write_text(lines, encoding="utf-8", errors="surrogateescape")


def write_dataset(
    source: Source,
    options: PrepareOptions,
    *,
    only_jpeg: bool = False,
    upright: bool = True,
    allow_empty_classes: bool = False,
) -> DatasetSummary:
    """Writes a source as a TFDS data set, with label names, class indices and RGB statistics beside the records.

    Everything is written to `<output_dir>.incomplete`. At the end a folder in it is renamed, so that `output_dir` is
    complete or missing. If the work is ended before, even by SIGKILL, its finished parts stay there, and the next call
    uses those that would become the same again. A data set that is finished already is left as it is, if its flags and
    its images are the same.

    Args:
        source: the images.
        options: the flags of the verb.
        only_jpeg: whether images of other formats are stored as JPEG.
        upright: whether images are turned upright by their EXIF orientation.
        allow_empty_classes: whether classes without training images are accepted.

    Returns:
        The numbers of images, bytes and files that were written.

    Raises:
        OSError: an image cannot be read, or a file cannot be written.
        UserError: `output_dir` is not the path of a missing or empty folder, and holds no data set of the same flags
            and images; an unfinished one was begun with other flags; the disk has too little space, an image does not
            decode or has wrong boxes and `skip_bad_images` is off, a key appears twice, or a split or class is empty.
    """
    # Imported here, since worker processes import this module too and must not load TensorFlow.
    with cli.loading_libraries():
        from data_prep import croissant, preparation_record, records, space, unfinished
        from data_prep.plan import make_plan
        from vgg_keras.data import record_index

    is_prepared = preparation_record.is_prepared(options.output_dir)
    new_or_empty = paths.local_path if is_prepared else paths.new_folder
    output_dir = new_or_empty("output_dir", options.output_dir)
    preparation = Preparation(options.resize_smallest_side, only_jpeg, upright)
    if not is_prepared:
        unfinished.require_usable(output_dir, options)
    plan = make_plan(source, preparation, unfinished.working_folder(output_dir))
    if is_prepared:
        left_out = (output_dir / BAD_IMAGES).exists()
        preparation_record.check_same(output_dir, plan, options, left_out=left_out)
        unfinished.clear_remains(plan, options)
        croissant.write_if_missing(source, output_dir)
        return DatasetSummary(source, {}, output_dir, was_there=True)
    # Labels that are those of the objects are counted as the records are written.
    if not (allow_empty_classes or source.multi_label):
        _check_classes(source, Counter(source.splits["train"].pieces.labels.tolist()))
    with locks.locked(plan.folder, remove_if_empty=True), unfinished.kept_on_failure(plan, options):
        kept = set(unfinished.take_over(plan, options))
        space.check(plan, kept, source.temporary_bytes, output_dir)
        results, summaries = _write_splits(plan, options, kept)
        bad_images = [
            *source.left_out,
            *(
                f"{split}\t{key}\t{why}"
                for split, some in results.items()
                for key, why in sorted(bad for result in some for bad in result.bad_images)
            ),
        ]
        _check_images(
            source, summaries, bad_images, skip=options.skip_bad_images, allow_empty_classes=allow_empty_classes
        )
        shard_lengths = _write_records(plan, results)
        sizes = {split: sum(result.example_bytes for result in some) for split, some in results.items()}
        records.write_info(source, shard_lengths, sizes, plan.data_folder)
        moments = sum((result.moments for result in results["train"]), RgbMoments())
        _write_side_files(source, moments, bad_images, plan.data_folder)
        for split in plan.splits:
            record_index.write(plan.data_folder, split.name, list(split.shards), shard_lengths[split.name])
        preparation_record.write(plan, options, results)
        # After the record of the files' sizes, so that a licence may be added to it.
        croissant.write(source, shard_lengths, plan.data_folder)
        sync_tree(plan.data_folder)
        if output_dir.exists():
            output_dir.rmdir()
        plan.data_folder.rename(output_dir)
        sync(output_dir.parent)
        unfinished.clear(plan.folder)
    return DatasetSummary(source, summaries, output_dir, bad_images)
