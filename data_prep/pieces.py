"""Lists the images of a split in little memory, and reads them one by one, in any order and in any process."""

import array
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vgg_keras.utils.errors import UserError


class Piece(NamedTuple):
    """An image of a source that has not been read yet.

    Attributes:
        key: name that is unique within the split.
        label: class index; -1 if unknown.
        size: bytes of the encoded image, as far as they are known: they decide on the number of record files.
        mark: a number from which the split's reader knows the image beside its key: the offset in an archive, the time
            of a file's last change, the number of a drawing.
        note: what else is known of the image, such as its boxes, in the form of the split's `Annotate`; it is not part
            of the image.
    """

    key: str
    label: int
    size: int
    mark: int
    note: bytes = b""


# Function from a piece to the bytes of its image. It must be picklable, since worker processes call it.
Reader = Callable[[Piece], bytes]


@dataclasses.dataclass(frozen=True)
class Pieces:
    """The images of a split in columns, in about 60 bytes each: ImageNet's 1.28 million take 75 MB without boxes.

    Attributes:
        names: the keys in UTF-8, one after the other.
        ends: (N + 1,) int64, where each key ends in `names`, after a 0.
        labels: (N,) int32, class indices; -1 if unknown.
        sizes: (N,) int64, bytes of the encoded images.
        marks: (N,) int64, the `Piece.mark` of each image.
        notes: the notes, one after the other.
        note_ends: (N + 1,) int64, where each note ends in `notes`, after a 0.
    """

    names: bytes
    ends: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    marks: np.ndarray
    notes: bytes
    note_ends: np.ndarray

    @classmethod
    def collect(cls, pieces: Iterable[Piece]) -> "Pieces":
        """Puts pieces into columns."""
        names, ends = bytearray(), array.array("q", [0])
        labels, sizes, marks = array.array("i"), array.array("q"), array.array("q")
        notes, note_ends = bytearray(), array.array("q", [0])
        for piece in pieces:
            # Names of files may hold bytes that are not UTF-8.
            names += piece.key.encode("utf-8", "surrogateescape")
            ends.append(len(names))
            labels.append(piece.label)
            sizes.append(piece.size)
            marks.append(piece.mark)
            notes += piece.note
            note_ends.append(len(notes))
        return cls(
            bytes(names),
            np.array(ends, np.int64),
            np.array(labels, np.int32),
            np.array(sizes, np.int64),
            np.array(marks, np.int64),
            bytes(notes),
            np.array(note_ends, np.int64),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Piece]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> Piece:
        if not 0 <= number < len(self):
            raise IndexError(number)
        label, size, mark = (int(column[number]) for column in (self.labels, self.sizes, self.marks))
        return Piece(self.name(number).decode("utf-8", "surrogateescape"), label, size, mark, self.note(number))

    def name(self, number: int) -> bytes:
        """Returns the key of an image in UTF-8."""
        return self.names[self.ends[number] : self.ends[number + 1]]

    def note(self, number: int) -> bytes:
        """Returns the note of an image."""
        return self.notes[self.note_ends[number] : self.note_ends[number + 1]]

    def all_names(self) -> Iterator[bytes]:
        """Yields the keys of all images in UTF-8."""
        return (self.names[start:end] for start, end in itertools.pairwise(self.ends.tolist()))

    def digest(self, *, marks: bool = True) -> str:
        """Returns a text that differs if the images are others, whatever their notes are.

        Args:
            marks: whether the marks count; without them, images of other content may have the same names and sizes.
        """
        digest = hashlib.sha256(self.names)
        for column in (self.ends, self.labels, self.sizes, *([self.marks] if marks else [])):
            digest.update(column.tobytes())
        return digest.hexdigest()

    def note_digest(self) -> str:
        """Returns a text that differs if the notes are others."""
        return hashlib.sha256(self.note_ends.tobytes() + self.notes).hexdigest()

    @property
    def name_sizes(self) -> np.ndarray:
        """(N,) int64, bytes of the keys in UTF-8."""
        return np.diff(self.ends)


def file_piece(folder: Path, key: str, label: int, note: bytes = b"") -> Piece:
    """Returns a file as a piece for `FileReader`.

    Args:
        folder: the folder of the split.
        key: path of the file below the folder.
        label: class index; -1 if unknown.
        note: the piece's note.

    Raises:
        OSError: the file is missing.
    """
    status = os.stat(folder / key)
    return Piece(key, label, status.st_size, status.st_mtime_ns, note)


@dataclasses.dataclass(frozen=True)
class FileReader:
    """Reads pieces that are files below a folder, and notices if one was changed after it had been listed.

    Attributes:
        folder: the folder of the split.
    """

    folder: Path

    def __call__(self, piece: Piece) -> bytes:
        """Returns the content of a file.

        Raises:
            OSError: the file cannot be read.
            UserError: the file was changed.
        """
        path = self.folder / piece.key
        # In bytes, since the encoding of the system may be one that the name cannot be written in.
        name = os.path.join(os.fsencode(self.folder), piece.key.encode("utf-8", "surrogateescape"))
        with open(name, "rb") as file:
            content = file.read()
            changed = os.fstat(file.fileno()).st_mtime_ns != piece.mark
        if changed or len(content) != piece.size:
            raise UserError(f"{path} was changed after the files had been listed; run the same command again")
        return content
