"""Summarizes a data set after it was written."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.sources import Source
from vgg_keras.utils import console, shell
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.words import counted

# File beside the records that lists the images that were left out.
BAD_IMAGES = "bad_images.txt"

# Number of classes up to which the table has a row for each; with more it shows the smallest and the largest only.
_MAX_ROWS = 30


@dataclasses.dataclass
class SplitSummary:
    """Counts of what was written of one split.

    Attributes:
        images_by_class: number of images by class index (-1: unknown); one with several labels counts for each.
        image_bytes: total size of the encoded images in bytes.
        changes: number of images by `PreparedImage.change` ("": unchanged).
        boxes: number of boxes by what became of them, as in `PartResult`.
        num_shards: number of record files.
        seconds: wall time of this run in seconds.
        num_kept: number of images that an earlier run had finished.
    """

    images_by_class: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    image_bytes: int = 0
    changes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    num_shards: int = 0
    seconds: float = 0.0
    num_kept: int = 0

    @property
    def num_images(self) -> int:
        """Number of images."""
        return self.changes.total()

    @property
    def images_per_second(self) -> float:
        """Images that this run wrote in a second."""
        return max(self.num_images - self.num_kept, 0) / max(self.seconds, 1e-9)


def _class_rows(source: Source, splits: Mapping[str, SplitSummary]) -> list[list[str]]:
    if len(source.class_names) <= _MAX_ROWS:
        return [
            [label, *(f"{split.images_by_class[index]:,}" for split in splits.values())]
            for index, label in enumerate(source.label_names)
        ]
    counts = [[split.images_by_class[index] for index in range(len(source.class_names))] for split in splits.values()]
    return [
        [f"{name} of {len(source.class_names):,} classes", *(f"{function(split_counts):,}" for split_counts in counts)]
        for name, function in (("smallest", min), ("largest", max))
    ]


@dataclasses.dataclass(frozen=True)
class DatasetSummary:
    """Counts of what was written of a data set.

    Attributes:
        source: the source of the images.
        splits: summary of each split by name.
        output_dir: folder of the data set.
        bad_images: one line for each image that was left out, since it cannot be used: split, key and reason.
        was_there: whether an earlier run had finished the data set, so that nothing was counted.
    """

    source: Source
    splits: Mapping[str, SplitSummary]
    output_dir: Path
    bad_images: Sequence[str] = ()
    was_there: bool = False

    def shown(self) -> ShownTable:
        """Returns a table with the images of each class, and the bytes, shards and seconds, of each split."""
        totals = {
            "images": lambda split: f"{split.num_images:,}",
            "shrunk": lambda split: f"{split.changes['shrunk']:,}",
            "repaired": lambda split: f"{split.changes['repaired']:,}",
            "megabytes": lambda split: f"{split.image_bytes / 1e6:,.1f}",
            "shards": lambda split: f"{split.num_shards:,}",
            "seconds": lambda split: f"{split.seconds:,.1f}",
            # Nothing where an earlier run had finished all of the split.
            "images/s": lambda split: f"{split.images_per_second:,.0f}" if split.num_images > split.num_kept else "",
        }
        if self.source.has_boxes:
            totals |= {
                "boxes": lambda split: f"{split.boxes['stored']:,}",
                "clipped boxes": lambda split: f"{split.boxes['clipped']:,}",
                "boxes left out": lambda split: f"{split.boxes['left out']:,}",
            }
        return ShownTable(
            f"{self.source.name} -> {self.output_dir}",
            ("", *self.splits),
            _class_rows(self.source, self.splits),
            [(name, *map(cell, self.splits.values())) for name, cell in totals.items()],
            numbers=True,
            boxed=True,
        )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way to train on a data set.

    Attributes:
        title: words in front of the command.
        flags: flags of the verb, beside those for the data set and the output.
        run_suffix: end of the name of the output, so that no two recipes write to the same one.
        note: line below the command, or "".
        verb: dotted name of the verb's module.
        output: the flag that names the output, and its value, in which {name} is that of the data set.
    """

    title: str
    flags: Mapping[str, object]
    run_suffix: str = ""
    note: str = ""
    verb: str = "vgg_keras.train"
    output: tuple[str, str] = ("output_dir", "runs/{name}")

    def command(self, data_dir: Path) -> str:
        """Returns the command that trains on the data set in a folder, quoted for a shell."""
        flag, value = self.output
        output = {flag: value.format(name=data_dir.resolve().name + self.run_suffix)}
        return shell.command(self.verb, **self.flags, data_dir=data_dir, **output)


# With a flag file, since the defaults are those for ImageNet: net D, in batches of 256 photos.
FROM_SCRATCH = Recipe("train on it", {"flagfile": "configs/flowers.cfg"})


def print_summary(summary: DatasetSummary, recipes: Sequence[Recipe] = ()) -> None:
    """Prints the summary of a data set, and the commands that train on it; for verbs.

    Args:
        summary: what was written.
        recipes: the ways to train on it.
    """
    folder = summary.output_dir
    if summary.was_there:
        console.say(f"{folder}: is there already, of the same images and flags; nothing is to be done")
    else:
        console.say_table(summary.shown())
    if summary.bad_images:
        left_out = counted(len(summary.bad_images), "image")
        console.say(f"left out {left_out} that cannot be used: {folder / BAD_IMAGES}")
    for recipe in recipes:
        console.say(f"{recipe.title}:  {recipe.command(folder)}")
        if recipe.note:
            console.say(f"  {recipe.note}")
