"""Plans a data set before an image is read: its record files, and the parts in which processes write them."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL

from data_prep import records, tfrecords
from data_prep.image_preparation import Preparation
from data_prep.parts import Part
from data_prep.pieces import Pieces, Reader
from data_prep.sources import Source, Split
from vgg_keras.data.tfrecord_frames import FRAME_BYTES
from vgg_keras.utils.errors import UserError
from vgg_keras.version import __version__

# Number of parts of a split, as far as it has images for them: a small data set has few record files, and many
# processes are to write it all the same.
_MIN_PARTS = 64
# Images of a part, at least, where a record file has several.
_MIN_IMAGES = 50

# Name of the version of this package in the description of a plan.
VERSION = "the version of vgg_keras"
# What the settings of a preparation are called in messages.
_IN_WORDS = {"smallest_side": "--resize_smallest_side"}


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a split that one process writes: a record file, or a section of one.

    Attributes:
        path: its file.
        result_path: the file that tells what it holds, once it is finished.
        start: number of the split's records in front of it.
        stop: number of the split's records up to its end.
        digest: text that differs if other bytes would be written.
    """

    path: Path
    result_path: Path
    start: int
    stop: int
    digest: str

    def __len__(self) -> int:
        return self.stop - self.start


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """The record files of a split.

    Attributes:
        name: name of the split.
        split: the images.
        preparation: how they are checked and changed.
        order: (N,) int64, the numbers of the images in the order of their records.
        shards: the sections of each record file, by its path, in order.
        multi_label: whether the labels of an image are the classes of its objects.
    """

    name: str
    split: Split
    preparation: Preparation
    order: np.ndarray
    shards: Mapping[Path, Sequence[Section]]
    multi_label: bool

    @property
    def sections(self) -> list[Section]:
        """The sections of all record files, in order."""
        return [section for sections in self.shards.values() for section in sections]

    def part(self, section: Section, read: Reader) -> Part:
        """Returns a section as a task for a process, with all that it needs to know.

        Args:
            section: one of the sections.
            read: the reader of the split.
        """
        numbers = self.order[section.start : section.stop].tolist()
        pieces = [self.split.pieces[number] for number in numbers]
        return Part(
            section.path,
            section.result_path,
            section.digest,
            pieces,
            read,
            self.preparation,
            self.split.annotate,
            self.multi_label,
        )

    @functools.cached_property
    def record_bytes(self) -> np.ndarray:
        """(N,) int64, bytes of each record in its file if the image is stored as it is, in the order of the records."""
        pieces = self.split.pieces
        sizes = tfrecords.example_sizes(pieces.sizes, pieces.labels, pieces.name_sizes) + FRAME_BYTES
        return sizes[self.order]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The files of a data set, and the folder in which they are made.

    Attributes:
        folder: the folder of the unfinished data set.
        splits: the plan of each split.
        description: what the data set depends on beside its images, JSON-ready, to explain why an unfinished one cannot
            be used.
    """

    folder: Path
    splits: Sequence[SplitPlan]
    description: Mapping[str, object]

    @functools.cached_property
    def listings(self) -> dict[str, dict[str, object]]:
        """What tells for each split whether its images and their boxes are the same, JSON-ready."""
        return {
            split.name: {
                "images": len(split.order),
                "sha256": split.split.pieces.digest(),
                "origin": split.split.origin,
                **({"boxes": split.split.pieces.note_digest()} if split.split.annotate else {}),
            }
            for split in self.splits
        }

    @property
    def data_folder(self) -> Path:
        """The folder that becomes the data set."""
        return data_folder(self.folder)

    @property
    def tasks_folder(self) -> Path:
        """The folder through which workers of other machines are given their parts."""
        return tasks_folder(self.folder)

    @property
    def sections(self) -> list[Section]:
        """The sections of all splits."""
        return [section for split in self.splits for section in split.sections]


def data_folder(folder: Path) -> Path:
    """Returns the folder inside that of an unfinished data set that becomes the data set."""
    return folder / "data"


def parts_folder(folder: Path) -> Path:
    """Returns the folder for what is not part of the data set in the end."""
    return folder / "parts"


def tasks_folder(folder: Path) -> Path:
    """Returns the folder of the files of `task_files`."""
    return folder / "tasks"


def make_plan(source: Source, preparation: Preparation, folder: Path) -> Plan:
    """Plans a data set.

    Args:
        source: the images.
        preparation: how they are checked and changed; only those of the training split are measured.
        folder: the folder of the unfinished data set, which need not exist.

    Raises:
        UserError: a split is empty, or a key appears twice.
    """
    for name, split in source.splits.items():
        if not len(split.pieces):
            raise UserError(f"{name}: no images")
    description = {
        VERSION: __version__,
        # It decides on the bytes of images that are encoded again.
        "the version of Pillow": PIL.__version__,
        "the name of the data set": records.dataset_name(source),
        **{_IN_WORDS.get(name, name): value for name, value in dataclasses.asdict(preparation).items()},
        # Not named where there are none, so that the parts of data sets without boxes stay the same.
        **({"the list of features": sorted(records.features(source))} if source.has_boxes else {}),
    }
    splits = [
        _plan_split(source, name, dataclasses.replace(preparation, measure=name == "train"), folder, description)
        for name in source.splits
    ]
    return Plan(folder, splits, description)


def _plan_split(source: Source, name: str, preparation: Preparation, folder: Path, description: Mapping) -> SplitPlan:
    split = source.splits[name]
    order = np.array(records.record_order(name, split.pieces), np.int64)
    settings = json.dumps([description, name, split.origin], sort_keys=True).encode()
    ends = records.shard_ends(split.pieces)
    shards: dict[Path, list[Section]] = {}
    for shard, (start, stop) in enumerate(zip([0, *ends], ends, strict=False)):
        path = data_folder(folder) / records.shard_name(source, name, shard, len(ends))
        inner = section_ends(start, stop, len(ends))
        for number, (first, last) in enumerate(zip([start, *inner], inner, strict=False)):
            # The only section of a record file is the file itself.
            file = path if len(inner) == 1 else parts_folder(folder) / f"{path.name}.part-{number:02}"
            result_path = parts_folder(folder) / f"{file.name}.json"
            digest = _digest(settings, split.pieces, order[first:last])
            shards.setdefault(path, []).append(Section(file, result_path, first, last, digest))
    return SplitPlan(name, split, preparation, order, shards, source.multi_label)


def _digest(settings: bytes, pieces: Pieces, numbers: np.ndarray) -> str:
    digest = hashlib.sha256(settings)
    for column in (pieces.labels, pieces.sizes, pieces.marks, pieces.name_sizes):
        digest.update(column[numbers].tobytes())
    digest.update(b"".join(map(pieces.name, numbers.tolist())))
    if pieces.notes:
        digest.update(np.diff(pieces.note_ends)[numbers].tobytes())
        digest.update(b"".join(map(pieces.note, numbers.tolist())))
    return digest.hexdigest()


def section_ends(start: int, stop: int, num_shards: int) -> list[int]:
    """Returns where the sections of a record file end.

    The number of processes has no part in it, so that another number can finish the work.

    Args:
        start: number of the split's records in front of the file.
        stop: number of the split's records up to its end.
        num_shards: number of the split's record files.
    """
    count = max(1, min(-(-_MIN_PARTS // num_shards), (stop - start) // _MIN_IMAGES))
    return [start + (stop - start) * number // count for number in range(1, count + 1)]
