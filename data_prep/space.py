"""Estimates the space that a data set needs on the disk, and refuses to start if there is not enough."""

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from data_prep.image_preparation import PreparedImage, prepare_or_reason
from data_prep.pieces import Reader
from data_prep.plan import Plan, Section, SplitPlan
from data_prep.unfinished import unpacked_bytes
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError

# Images of a split that are shrunk to see how small they become.
_SAMPLE = 32
# Smallest need that is worth a line.
_WORTH_SAYING = 100_000_000


def in_words(size: float) -> str:
    """Returns a number of bytes with its unit.

    >>> in_words(147_900_000_000), in_words(1_234_000)
    ('147.9 GB', '1.2 MB')
    """
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def shrinking(plan: SplitPlan, read: Reader) -> float:
    """Returns the size of the prepared images relative to the encoded ones, from a sample.

    Args:
        plan: the plan of a split. The hash that orders the records makes any run of them a random sample.
        read: the split's reader.
    """
    before = after = 0
    for number in plan.order[: min(_SAMPLE, len(plan.order))].tolist():
        image_bytes = read(plan.split.pieces[number])
        prepared = prepare_or_reason(image_bytes, plan.preparation)
        if isinstance(prepared, PreparedImage):
            before += len(image_bytes)
            after += len(prepared.image_bytes)
    return after / before if before else 1.0


def needed_bytes(plan: Plan, finished: Collection[Section], factors: Mapping[str, float]) -> float:
    """Returns the bytes that the sections that are not finished, and the record files made of them, need.

    Args:
        plan: the plan.
        finished: the finished sections.
        factors: size of the prepared images relative to the encoded ones, for each split.
    """
    done = {section.path for section in finished}
    needed = 0.0
    for split in plan.splits:
        for sections in split.shards.values():
            sizes = [(section, int(split.record_bytes[section.start : section.stop].sum())) for section in sections]
            to_write = sum(size for section, size in sizes if section.path not in done)
            joined = sum(size for _, size in sizes) if len(sections) > 1 else 0
            needed += factors[split.name] * (to_write + joined)
    return needed


def check(plan: Plan, finished: Collection[Section], temporary_bytes: int, output_dir: Path) -> None:
    """Says how much space is needed.

    Args:
        plan: the plan; its folder exists.
        finished: the sections that need not be written again.
        temporary_bytes: bytes of the files that the readers of the source need in the plan's folder.
        output_dir: the folder that is named in messages.

    Raises:
        UserError: less space is free.
    """
    free = shutil.disk_usage(plan.folder).free
    temporary = max(temporary_bytes - unpacked_bytes(plan.folder), 0)
    needed = temporary + needed_bytes(plan, finished, {split.name: 1.0 for split in plan.splits})
    shrinks = any(split.preparation.smallest_side for split in plan.splits)
    if needed > free and shrinks:
        factors = {split.name: shrinking(split, split.split.make_reader(plan.folder)) for split in plan.splits}
        needed = temporary + needed_bytes(plan, finished, factors)
    if needed > free:
        way_out = "" if shrinks else ", store smaller images with --resize_smallest_side"
        raise UserError(
            f"--output_dir={output_dir} needs about {in_words(needed)}, and {in_words(free)} are free on its disk; "
            f"free some space{way_out}, or choose another folder"
        )
    if needed >= _WORTH_SAYING:
        bound = "at most " if shrinks else ""
        console.say(f"{output_dir} needs {bound}about {in_words(needed)}; {in_words(free)} are free on its disk")
