"""Reads the persons of PASCAL VOC's action task, each with the whole photo, a box, and what the person does.

The paper classifies them in Table 12 (arXiv:1409.1556, appendix B).
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from data_prep import voc_xml
from data_prep.image_preparation import PreparedImage
from data_prep.objects import Annotation, Box, NoteReader, Object, Placed
from data_prep.pieces import FileReader, Piece, Pieces, file_piece
from data_prep.sources import Source, Split
from data_prep.voc_action_sets import FOLDER, NO, OTHER, UNCLEAR, YES, ActionSet, read_action_sets
from data_prep.voc_layout import (
    ANNOTATIONS,
    FIRST_PIXEL,
    IMAGE_SETS,
    PHOTOS,
    Faults,
    find_root,
    list_annotations,
    list_photos,
)
from vgg_keras.data.object_names import object_name, split_name
from vgg_keras.utils import console
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

_PERSON = "person"
# Stands for the class of the person's own box in a note, which is no action.
_NO_CLASS = -1


@dataclasses.dataclass(frozen=True)
class _Person:
    """A person of a split before the actions of the data set are known.

    Attributes:
        photo: path of the photo below `JPEGImages`.
        number: number of the object in the annotation, from 1 on.
        file: name of the annotation.
        size: width and height in pixels that the annotation gives, or (0, 0).
        box: its corners in pixels.
        labels: YES, NO or UNCLEAR by action; empty if they are kept secret.
    """

    photo: str
    number: int
    file: str
    size: tuple[int, int]
    box: Box
    labels: Mapping[str, int]

    def piece(self, folder: Path, actions: Sequence[str]) -> Piece:
        """Returns the person as a piece for `PersonReader` and `PersonPlacer`.

        As in the development kit, a person whom the list of an action leaves out does not count for it.
        """
        labels = {action: self.labels.get(action, UNCLEAR) for action in actions} if self.labels else {}
        marked = [
            Object(index, self.box, labels[action] == UNCLEAR)
            for index, action in enumerate(actions)
            if labels.get(action, NO) != NO
        ]
        note = Annotation(self.file, self.size, [Object(_NO_CLASS, self.box), *marked]).to_note()
        return file_piece(folder, self.photo, -1, note)._replace(key=object_name(self.photo, self.number))


@dataclasses.dataclass(frozen=True)
class PersonReader(FileReader):
    """Reads the photo of a person; a photo of several persons is read for each."""

    def __call__(self, piece: Piece) -> bytes:
        """Returns the content of the photo's file.

        Raises:
            OSError: the file cannot be read.
            UserError: the file was changed.
        """
        photo, _ = split_name(piece.key)
        return super().__call__(piece._replace(key=photo))


@dataclasses.dataclass(frozen=True)
class PersonPlacer:
    """Places a person's box, and the same box once for each action that the person does or may do."""

    def __call__(self, piece: Piece, prepared: PreparedImage) -> Placed:
        """Returns the box, and the actions as objects; those that cannot be judged are marked as difficult.

        Raises:
            BadImage: the box is empty, reversed, or far outside the image, or the annotation is of an image of another
                size.
        """
        placed = NoteReader(FIRST_PIXEL, strict=True)(piece, prepared)
        person, *actions = placed.objects
        return Placed(actions, min(placed.num_clipped, 1), box=person.box)


class _Fault(Exception):
    """What is wrong with an image: the file and the reason."""


@dataclasses.dataclass(frozen=True)
class _Folder:
    """The photos and annotations of a folder of VOC's layout, and the images that cannot be used."""

    root: Path
    photos: Mapping[str, str]
    annotations: Mapping[str, Path]
    faults: Faults

    def read_split(self, split: str, listed: ActionSet) -> list[_Person]:
        """Reads the annotations of a split, and returns its persons."""
        numbers: dict[str, list[int]] = {}
        for image, number in listed.persons:
            numbers.setdefault(image, []).append(number)
        bar = progress_bar(f"annotations of {split}", len(numbers), " files", iterable=numbers, leave=False)
        found = [one for image in bar for one in self._read_image(split, image, numbers[image], listed)]
        if listed.actions:
            return found
        # A list of images names no persons. Where annotations tell actions, they do so for the persons of the task.
        return [one for one in found if one.labels] or found

    def _read_image(self, split: str, image: str, numbers: Sequence[int], listed: ActionSet) -> list[_Person]:
        """Returns the persons of an image; none if it cannot be used and is to be left out."""
        try:
            return list(self._persons(image, numbers, listed))
        except _Fault as fault:
            self.faults.add(split, image, *fault.args)
            return []

    def _persons(self, image: str, numbers: Sequence[int], listed: ActionSet) -> Iterator[_Person]:
        if image not in self.photos:
            raise _Fault(self.root / PHOTOS / image, f"missing, and {listed.file.name} names it")
        if image not in self.annotations:
            raise _Fault(self.root / ANNOTATIONS / f"{image}.xml", f"missing, and {listed.file.name} names it")
        path = self.annotations[image]
        try:
            with path.open("rb") as file:
                size, objects = voc_xml.parse(file)
        except ValueError as error:
            raise _Fault(path, str(error)) from error
        if numbers == [0]:
            numbers = [number for number, one in enumerate(objects, 1) if one.name == _PERSON]
        for number in numbers:
            if not 0 < number <= len(objects):
                raise _Fault(
                    path, f"it has {counted(len(objects), 'object')}, and {listed.file.name} names number {number}"
                )
            one = objects[number - 1]
            labels = listed.persons.get((image, number), {})
            if not listed.actions and one.actions is not None:
                labels = {action: YES if does else NO for action, does in one.actions.items()}
            yield _Person(self.photos[image], number, path.name, size, one.box, labels)


def actions(
    source_dir: Path, name: str, note: Callable[[str], None] = console.say, *, skip_bad_images: bool = False
) -> Source:
    """Returns the persons of PASCAL VOC's action task as a source, one record for each.

    Args:
        source_dir: the folder of VOC's layout, or one above it.
        name: TFDS name of the data set.
        note: function that shows a message.
        skip_bad_images: whether images that are missing, or whose annotation is missing or no XML of VOC, are left out.

    Raises:
        UserError: the layout is not that of VOC, a list of the task is missing or damaged, or an image or its
            annotation is missing or damaged.
    """
    root = find_root(source_dir)
    sets = read_action_sets(root / IMAGE_SETS / FOLDER, note)
    faults = Faults(skip_bad_images)
    folder = _Folder(root, list_photos(root / PHOTOS), list_annotations(root / ANNOTATIONS), faults)
    persons = {split: folder.read_split(split, listed) for split, listed in sets.items()}
    everyone = [one for some in persons.values() for one in some]
    class_names = sorted(set().union(*(one.labels for one in everyone)) - {OTHER})
    if not class_names:
        raise UserError(f"{root / IMAGE_SETS / FOLDER} has no list of an action, such as jumping_train.txt")
    photos = root / PHOTOS
    return Source(
        name=name,
        description=f"Persons who do some of {len(class_names)} actions, from a folder of PASCAL VOC's layout.",
        class_names=class_names,
        label_names=class_names,
        splits={
            split: Split(
                Pieces.collect(one.piece(photos, class_names) for one in some),
                lambda _: PersonReader(photos),
                annotate=PersonPlacer(),
            )
            for split, some in persons.items()
        },
        multi_label=True,
        one_object=True,
        left_out=faults.lines,
    )
