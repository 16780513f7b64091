"""Writes scores as PASCAL VOC's evaluation server and development kit read them.

The server takes an archive of text files, one for each class, in the folders of the development kit, such as
results/VOC2012/Main/comp2_cls_test_aeroplane.txt, in which each line has an image and its score. The files of the
action task, such as results/VOC2012/Action/comp10_action_test_jumping.txt, have the number of the person in between.
"""

import dataclasses
import gzip
import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vgg_keras.data.object_names import split_name
from vgg_keras.utils import files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.shell import flag

# The folder of each competition's files, and the task in their names. The first one of a task is for what learned from
# VOC's own images alone, the second one for what learned from others too, such as a net from ImageNet.
_CLASSES, _ACTIONS = ("Main", "cls"), ("Action", "action")
COMPETITIONS = {"comp1": _CLASSES, "comp2": _CLASSES, "comp9": _ACTIONS, "comp10": _ACTIONS}
ARCHIVE = "results.tar.gz"
# What VOC calls its sets, by the names of the splits.
_SETS = {"train": "train", "validation": "val", "train+validation": "trainval", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Submission:
    """The result files of a set of images, but for the scores.

    Attributes:
        competition: one of COMPETITIONS.
        year: year of the challenge.
        set_name: VOC's name of the set: "test", "val", "train" or "trainval".
        class_names: the classes in the order of their indices.
        rows: what stands in front of the score of each image: its name without the suffix, and in the action task the
            number of the person.
    """

    competition: str
    year: int
    set_name: str
    class_names: Sequence[str]
    rows: Sequence[str]

    @classmethod
    def plan(cls, competition: str, year: int, manifest: Any) -> "Submission":
        """Returns the result files of a split.

        Args:
            competition: one of COMPETITIONS.
            year: year of the challenge.
            manifest: the `manifest.SplitManifest` of the split.

        Raises:
            UserError: the competition is not one of such data, the split is no set of VOC, or the name of an image or a
                class cannot stand in the files.
        """
        data, shown = manifest.data, flag("voc_results", competition)
        of_persons = COMPETITIONS[competition] == _ACTIONS
        if not data.multi_label or of_persons != bool(data.box_key):
            needed = (
                "persons, as data_prep.voc --task=actions writes them" if of_persons else "images of several labels"
            )
            fitting = [name for name, what in COMPETITIONS.items() if what == (_ACTIONS if data.box_key else _CLASSES)]
            hint = f"; for it there are {' and '.join(fitting)}" if data.multi_label else ""
            raise UserError(
                f"{shown} is a competition about {needed}; {data.builder.data_dir} is no such data set{hint}"
            )
        if manifest.split not in _SETS:
            names = ", ".join(_SETS)
            raise UserError(
                f"{shown}: the tested split {manifest.split} is none of VOC's sets; it must be one of {names}"
            )
        for name in data.class_names:
            if re.search(r"[\s/\\]", name):
                raise UserError(
                    f"{shown}: the class {name!r} cannot be a part of a file's name; rename it in the data set"
                )
        rows = [_row(name, of_persons) for name in manifest.names]
        if "" in rows:
            name = manifest.names[rows.index("")]
            raise UserError(
                f"{shown}: the name {name!r} of an image is empty or has blanks, which VOC's files cannot hold"
            )
        return cls(competition, year, _SETS[manifest.split], data.class_names, rows)

    def texts(self, scores: np.ndarray) -> Mapping[str, str]:
        """Returns the content of each file by its path.

        Args:
            scores: (N, classes) float, the higher the surer.
        """
        folder, task = COMPETITIONS[self.competition]
        order = sorted(range(len(self.rows)), key=lambda index: _sort_key(self.rows[index]))
        return {
            f"results/VOC{self.year}/{folder}/{self.competition}_{task}_{self.set_name}_{name}.txt": "".join(
                f"{self.rows[index]} {column[index]:.9f}\n" for index in order
            )
            for name, column in zip(self.class_names, scores.T, strict=True)
        }

    def write(self, scores: np.ndarray, folder: Path) -> Path:
        """Writes the files, and an archive of them as the server takes it.

        Args:
            scores: (N, classes) float, the higher the surer.
            folder: the folder, which is made if it is missing.

        Returns:
            The archive.
        """
        texts = self.texts(scores)
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            files.write_text(folder / path, text)
        files.write_bytes(folder / ARCHIVE, _archive(texts))
        return folder / ARCHIVE


def _row(name: str, of_person: bool) -> str:
    """Returns what names an image, or a person in it, in a line: "2010_006215", or "2010_006215 1"; "" if none can."""
    try:
        photo, number = split_name(name) if of_person else (name, 0)
    except ValueError:
        return ""
    if not photo or re.search(r"\s", photo):
        return ""
    image = str(PurePosixPath(photo).with_suffix(""))
    return f"{image} {number}" if of_person else image


def _sort_key(row: str) -> tuple[str, int]:
    image, _, number = row.partition(" ")
    return image, int(number or 0)


def _archive(texts: Mapping[str, str]) -> bytes:
    """Returns a compressed tar of files, the same bytes for the same texts."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path, text in texts.items():
            content = text.encode()
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
