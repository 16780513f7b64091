"""Reads the lists of PASCAL VOC's action task: which persons belong to each split, and what they do."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data_prep.sources import some_names
from data_prep.voc_layout import check_apart
from vgg_keras.data.class_folders import SPLIT_NAMES
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import visible

FOLDER = "Action"
# VOC's name for what the persons do who do nothing else; the development kit trains and tests no classifier of it.
OTHER = "other"
# Labels in a list: the person does the action, does not, or cannot be judged.
YES, NO, UNCLEAR = 1, -1, 0
# A row has an image, an object's number and a label.
_MOST_COLUMNS = 3
# Sets that are made of others.
_JOINED = "trainval"

# An image, and the number of an object in its annotation, from 1 on; 0 stands for all persons in the image.
Person = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class ActionSet:
    """The persons of a split.

    Attributes:
        file: one of the split's files, for messages.
        persons: the labels that the lists of the actions give each person, by action: YES, NO or UNCLEAR.
        actions: the actions whose lists give labels.
    """

    file: Path
    persons: Mapping[Person, Mapping[str, int]]
    actions: frozenset[str] = frozenset()

    @property
    def images(self) -> list[str]:
        """Names of the images, each once, in the order of the lists."""
        return list(dict.fromkeys(image for image, _ in self.persons))


def read_action_sets(folder: Path, note: Callable[[str], None]) -> dict[str, ActionSet]:
    """Reads `ImageSets/Action`.

    A file such as jumping_train.txt has a line for each person: the image, the number of the object in its annotation,
    and the label. Where a split has no such file, as in the test set of the contest, train.txt, val.txt or test.txt
    lists its images, and all persons in them belong to it, or those whose numbers stand behind the images.

    Args:
        folder: the folder.
        note: function that shows a message about files that are passed over.

    Returns:
        {split: its persons}, in the order train, validation, test.

    Raises:
        UserError: a file is damaged or names no person, or two splits share an image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; --task=actions needs the lists that VOC2012 has there")
    lists: dict[str, dict[str, Path]] = {}
    passed_over = []
    for path in sorted(folder.glob("*.txt")):
        action, _, name = path.stem.rpartition("_")
        if split := SPLIT_NAMES.get(name.lower()):
            lists.setdefault(split, {})[action] = path
        elif name.lower() != _JOINED:
            passed_over.append(path.name)
    if passed_over:
        note(f"{folder}: passed over image sets of no split: {some_names(passed_over)}")
    for split, usual in (("train", "train"), ("validation", "val")):
        if split not in lists:
            raise UserError(f"{folder} has no list of the {split} split, such as {usual}.txt or jumping_{usual}.txt")
    order = [split for split in dict.fromkeys(SPLIT_NAMES.values()) if split in lists]
    sets = {split: _read_set(lists[split]) for split in order}
    check_apart({split: one.images for split, one in sets.items()}, {split: one.file for split, one in sets.items()})
    return sets


def _read_set(paths: Mapping[str, Path]) -> ActionSet:
    """Reads the files of a split, which are given by action; "" stands for the list of the images."""
    labelled = {action: path for action, path in paths.items() if action}
    read = {action: _read_list(path) for action, path in (labelled or paths).items()}
    persons: dict[Person, dict[str, int]] = {}
    for action, rows in read.items():
        for person, label in rows.items():
            labels = persons.setdefault(person, {})
            if label is not None:
                labels[action] = label
    file = next(iter((labelled or paths).values()))
    with_labels = (action for action, rows in read.items() if any(label is not None for label in rows.values()))
    return ActionSet(file, persons, frozenset(with_labels))


def _read_list(path: Path) -> dict[Person, int | None]:
    """Reads a file: {person: label, or None where it gives none}."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is not UTF-8 text; it should have an image and an object's number in each line"
        ) from None
    rows: dict[Person, int | None] = {}
    for line_number, line in enumerate(lines, 1):
        if not (words := line.split()):
            continue
        try:
            number, label = _parse_row(words)
        except ValueError:
            raise UserError(
                f"{path}, line {line_number}: {visible(line.strip())!r} should be the name of an image, the number of "
                f"an object in its annotation, from 1 on, and the label {YES}, {NO} or {UNCLEAR}{_blanks_hint(words)}"
            ) from None
        if (words[0], number) in rows:
            raise UserError(f"{path}, line {line_number}: {visible(line.strip())!r} is there twice; remove one of them")
        if rows and (label is None) != (next(iter(rows.values())) is None):
            has = "no label" if label is None else "a label"
            raise UserError(
                f"{path}, line {line_number}: {visible(line.strip())!r} has {has}, unlike those before it; give the "
                f"label in all of them ({YES}, {NO} or {UNCLEAR}) or in none"
            )
        rows[words[0], number] = label
    if not rows:
        action = path.stem.rpartition("_")[0]
        without = f"; to do without {visible(action)}, remove its lists of all splits" if action else ""
        raise UserError(f"{path} names no person; restore the list from PASCAL VOC's archive{without}")
    return rows


def _blanks_hint(words: Sequence[str]) -> str:
    """Returns the end of a message about a row that may have a name with blanks; "" if its columns are as they should.

    Args:
        words: what stands between the blanks of the row.
    """
    numbers = sum(word.lstrip("+-").isdecimal() for word in words[1:])
    if len(words) <= _MOST_COLUMNS and numbers == len(words) - 1:
        return ""
    return "; a name with blanks cannot stand there: rename such a photo and its annotation"


def _parse_row(words: Sequence[str]) -> tuple[int, int | None]:
    """Returns the number of the object, or 0, and the label, or None, of a row: image, number and label."""
    numbers = [int(word) for word in words[1:]]
    number, label = (numbers[0] if numbers else 0), (numbers[1] if len(numbers) > 1 else None)
    if len(words) > _MOST_COLUMNS or (numbers and number < 1) or label not in (None, YES, NO, UNCLEAR):
        raise ValueError(words)
    return number, label
