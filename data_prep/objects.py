"""Turns the objects that annotations mark in an image, in pixels, into the boxes of its record.

This module runs in worker processes, so it imports neither TensorFlow nor TFDS.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.image_preparation import PreparedImage
from data_prep.pieces import Piece
from vgg_keras.data.photo_decoding import BadImage

# ymin, xmin, ymax, xmax.
Box = tuple[float, float, float, float]
# Pixels by which a box may reach past the border of its image: annotators are a few pixels off there, and tools differ
# in where they begin to count. What reaches further is an error in the annotation.
MAX_OVERHANG = 5

# What a turn does to the position (y, x) of a point, relative to the image: whether y and x are exchanged, and whether
# the new y and the new x are then counted from the other side.
_TURNS = {
    Image.Transpose.FLIP_LEFT_RIGHT: (False, False, True),
    Image.Transpose.FLIP_TOP_BOTTOM: (False, True, False),
    Image.Transpose.ROTATE_180: (False, True, True),
    Image.Transpose.TRANSPOSE: (True, False, False),
    Image.Transpose.ROTATE_90: (True, True, False),
    Image.Transpose.ROTATE_270: (True, False, True),
    Image.Transpose.TRANSVERSE: (True, True, True),
}


class Object(NamedTuple):
    """An object that is marked in an image.

    Attributes:
        label: class index.
        box: in an annotation the corners in pixels, as the annotation counts them; in a record relative to the stored
            image, 0..1.
        is_difficult: whether the object is marked as difficult to recognize.
    """

    label: int
    box: Box
    is_difficult: bool = False


class Annotation(NamedTuple):
    """What a file tells about the objects in an image.

    Attributes:
        file: name of the file, for messages.
        size: width and height in pixels that the file gives for the image; (0, 0) if it gives none.
        objects: the objects, in the order of the file.
    """

    file: str
    size: tuple[int, int] = (0, 0)
    objects: Sequence[Object] = ()

    def to_note(self) -> bytes:
        """Returns the annotation as a `Piece.note`, which goes to the process that reads the image."""
        return json.dumps(self, separators=(",", ":")).encode()

    @classmethod
    def from_note(cls, note: bytes) -> "Annotation":
        """Returns the annotation that `to_note` made into bytes."""
        file, (width, height), objects = json.loads(note)
        some = [Object(label, (box[0], box[1], box[2], box[3]), difficult) for label, box, difficult in objects]
        return cls(file, (width, height), some)


@dataclasses.dataclass(frozen=True)
class Placed:
    """The objects of an image as its record holds them.

    Attributes:
        objects: the objects, with boxes relative to the stored image, 0..1.
        num_clipped: number of boxes that were cut at the border of the image.
        num_left_out: number of boxes that were left out, since they are wrong.
        box: box of the one object that the record is of, relative to the stored image, 0..1; None if it is of the image
            as a whole.
    """

    objects: Sequence[Object] = ()
    num_clipped: int = 0
    num_left_out: int = 0
    box: Box | None = None


# Function from an image that is stored to its objects. It must be picklable, since worker processes call it, and raises
# a `BadImage` if the image cannot be stored with them.
Annotate = Callable[[Piece, PreparedImage], Placed]


@dataclasses.dataclass(frozen=True)
class NoteReader:
    """Places the objects that the notes of the pieces describe; an image without a note has none.

    Attributes:
        first_pixel: number that the annotations give the first column and row of pixels. If it is 1, a box from 1 to W
            holds the W columns from the first to the last, as in VOC. If it is 0, corners are the edges of pixels, so
            that a box from 0 to W does.
        strict: whether an image with a wrong box is refused; else its wrong boxes are left out and counted.
    """

    first_pixel: int
    strict: bool

    def __call__(self, piece: Piece, prepared: PreparedImage) -> Placed:
        """Returns the objects of an image.

        Raises:
            BadImage: a box is empty, reversed, or far outside the image, or the annotation is of an image of another
                size, and the reader is strict.
        """
        if not piece.note:
            return Placed()
        annotation = Annotation.from_note(piece.note)
        objects: list[Object] = []
        num_clipped = 0
        for one in annotation.objects:
            try:
                turned_by = self._turn(annotation, prepared)
                size = prepared.size if turned_by == prepared.turned else prepared.size[::-1]
                box, clipped = self._clip(annotation, one, size)
                box = turn_box(box, turned_by)
                if not _has_area(box):
                    raise BadImage(f"{annotation.file}: a box is thinner than the numbers of a record can tell")
            except BadImage:
                if self.strict:
                    raise
                continue
            num_clipped += clipped
            objects.append(one._replace(box=box))
        return Placed(objects, num_clipped, len(annotation.objects) - len(objects))

    def _turn(self, annotation: Annotation, prepared: PreparedImage) -> Image.Transpose | None:
        """Returns the turn from the annotated image to the stored one.

        Pixels are counted in the image as the file stores it, as VOC's tools do, unless the size that the annotation
        gives is that of the image after it was turned upright.
        """
        if annotation.size in ((0, 0), prepared.size):
            return prepared.turned
        swaps = prepared.turned is not None and _TURNS[prepared.turned][0]
        if swaps and annotation.size == prepared.size[::-1]:
            return None
        (width, height), (its_width, its_height) = annotation.size, prepared.size
        raise BadImage(
            f"{annotation.file} is of an image of {width}x{height} pixels, this one has {its_width}x{its_height}"
        )

    def _clip(self, annotation: Annotation, one: Object, size: tuple[int, int]) -> tuple[Box, bool]:
        """Returns a box relative to the image that was annotated, cut at its border, and whether anything was cut.

        Args:
            annotation: the annotation.
            one: its object.
            size: width and height of the image in pixels.
        """
        width, height = size
        ymin, xmin, ymax, xmax = one.box
        shown = f"{annotation.file}: the box with xmin={xmin:g}, ymin={ymin:g}, xmax={xmax:g}, ymax={ymax:g}"
        top, left = ymin - self.first_pixel, xmin - self.first_pixel
        if not (top < ymax and left < xmax):
            raise BadImage(f"{shown} is empty or reversed")
        overhang = max(-top, -left, ymax - height, xmax - width)
        cut = (max(top, 0), max(left, 0), min(ymax, height), min(xmax, width))
        if overhang > MAX_OVERHANG or not (cut[0] < cut[2] and cut[1] < cut[3]):
            raise BadImage(f"{shown} is not inside the image of {width}x{height} pixels")
        return (cut[0] / height, cut[1] / width, cut[2] / height, cut[3] / width), overhang > 0


def _has_area(box: Box) -> bool:
    """Returns whether a box still has an area as the float32 numbers of a record."""
    top, left, bottom, right = np.array(box, np.float32)
    return bool(top < bottom and left < right)


def turn_box(box: Box, turn: Image.Transpose | None) -> Box:
    """Returns a box in an image that was turned.

    >>> turn_box((0.0, 0.1, 0.25, 0.5), Image.Transpose.ROTATE_270)  # clockwise: what was above is at the right
    (0.1, 0.75, 0.5, 1.0)

    Args:
        box: box relative to the image before it was turned, 0..1.
        turn: the turn, or None for none.
    """
    if turn is None:
        return box
    exchange, from_below, from_right = _TURNS[turn]
    top, left, bottom, right = (box[1], box[0], box[3], box[2]) if exchange else box
    if from_below:
        top, bottom = 1 - bottom, 1 - top
    if from_right:
        left, right = 1 - right, 1 - left
    return top, left, bottom, right


def class_labels(objects: Sequence[Object], *, difficult: bool) -> list[int]:
    """Returns the class indices of an image's objects, each once, sorted.

    Args:
        objects: the objects.
        difficult: whether objects that are marked as difficult count.
    """
    return sorted({one.label for one in objects if difficult or not one.is_difficult})


def object_features(objects: Sequence[Object]) -> Mapping[str, np.ndarray | list[int]]:
    """Returns the features of a record that hold the objects of its image, named as TFDS names those of a sequence."""
    return {
        "objects/bbox": np.array([one.box for one in objects], np.float32).ravel(),
        "objects/is_difficult": [int(one.is_difficult) for one in objects],
        "objects/label": [one.label for one in objects],
    }
