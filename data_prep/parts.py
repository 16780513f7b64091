"""Writes a part of a data set: a pure function from the images of a record file to that file, for worker processes.

This module imports neither TensorFlow nor TFDS, so that a worker starts quickly.
"""

import collections
import dataclasses
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from data_prep import tfrecords
from data_prep.image_preparation import Preparation, PreparedImage, prepare
from data_prep.objects import Annotate, Placed, class_labels, object_features
from data_prep.pieces import Piece, Reader
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.data.rgb_statistics import RgbMoments
from vgg_keras.utils.escaping import visible
from vgg_keras.utils.files import write_atomically, write_text

# Function that is told how many images of a part are done.
Report = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Part:
    """All that a process needs to write a record file, or a section of one.

    Attributes:
        path: the file.
        result_path: the JSON file with its `PartResult`, which is written when the part is finished.
        digest: text that differs if other bytes would be written.
        pieces: the images in the order of the records.
        read: the reader of the pieces.
        preparation: how images are checked and changed.
        annotate: function that returns the objects of an image; None if the records hold none.
        multi_label: whether the labels of an image are the classes of its objects.
    """

    path: Path
    result_path: Path
    digest: str
    pieces: Sequence[Piece]
    read: Reader
    preparation: Preparation
    annotate: Annotate | None = None
    multi_label: bool = False


@dataclasses.dataclass
class PartResult:
    """What a part holds.

    Attributes:
        digest: the digest of the part.
        images_by_class: number of images by class index (-1: unknown); one with several labels counts for each.
        changes: number of images by `PreparedImage.change` ("": unchanged).
        boxes: number of boxes by what became of them: "stored", "clipped" (and stored) or "left out".
        image_bytes: total size of the encoded images in bytes.
        example_bytes: total size of the records in bytes, without their frames.
        moments: sums over the pixels; those of no pixels if they are not measured.
        bad_images: (key, reason) of each image that does not decode or has wrong boxes; these are left out.
        file_bytes: size of the file in bytes.
        checksum: CRC-32 of the file.
        contents: the `ContentsDigest` of the images as they were read; "" if an earlier version wrote the part.
    """

    digest: str
    images_by_class: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    changes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    boxes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    image_bytes: int = 0
    example_bytes: int = 0
    moments: RgbMoments = dataclasses.field(default_factory=RgbMoments)
    bad_images: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    file_bytes: int = 0
    checksum: int = 0
    contents: str = ""

    @property
    def num_images(self) -> int:
        """Number of images in the file."""
        return sum(self.changes.values())

    def to_json(self) -> str:
        """Returns the result as text."""
        return json.dumps(vars(self) | {"moments": vars(self.moments)})

    @classmethod
    def from_json(cls, text: str) -> "PartResult":
        """Returns the result that `to_json` made into text.

        Raises:
            ValueError, KeyError, TypeError: the text is none that `to_json` returns.
        """
        fields = json.loads(text)
        moments = fields.pop("moments")
        products = tuple(map(tuple, moments["products"]))
        labels = {int(label): count for label, count in fields.pop("images_by_class").items()}
        return cls(
            images_by_class=collections.Counter(labels),
            changes=collections.Counter(fields.pop("changes")),
            boxes=collections.Counter(fields.pop("boxes", {})),
            moments=RgbMoments(moments["num_pixels"], tuple(moments["sums"]), products),
            bad_images=[(key, reason) for key, reason in fields.pop("bad_images")],
            **fields,
        )

    def add(self, labels: Sequence[int], prepared: PreparedImage, placed: Placed, example: bytes) -> None:
        """Counts an image that is stored."""
        self.images_by_class.update(labels)
        self.changes[prepared.change] += 1
        self.boxes += collections.Counter(
            {"stored": len(placed.objects), "clipped": placed.num_clipped, "left out": placed.num_left_out}
        )
        self.image_bytes += len(prepared.image_bytes)
        self.example_bytes += len(example)
        if prepared.moments:
            self.moments += prepared.moments


class ContentsDigest:
    """The SHA-256 of the contents of images in their order, each by its own SHA-256."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, content: bytes) -> None:
        """Adds the next image."""
        self._digest.update(hashlib.sha256(content).digest())

    def hexdigest(self) -> str:
        """Returns the digest of the images so far in hexadecimal digits."""
        return self._digest.hexdigest()


def contents_digest(part: Part) -> str:
    """Reads the images of a part, and returns what `PartResult.contents` is of them.

    Raises:
        OSError: an image cannot be read.
        UserError: an archive or a photo is changed meanwhile.
    """
    read = ContentsDigest()
    for piece in part.pieces:
        read.add(part.read(piece))
    return read.hexdigest()


def finished_part(path: Path, result_path: Path, digest: str) -> PartResult | None:
    """Returns the result of a part that was finished earlier, judged by its digest and size, or None."""
    try:
        result = PartResult.from_json(result_path.read_text(encoding="utf-8"))
        if (result.digest, result.file_bytes) == (digest, path.stat().st_size):
            return result
    except (OSError, ValueError, KeyError, TypeError):  # missing, or torn by a failure of the power
        pass
    return None


def file_checksum(path: Path) -> int:
    """Returns the CRC-32 of a file."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def whole_part(part: Part) -> PartResult | None:
    """Returns the result of a part that was finished earlier, if its file still has the checksum of then, or None."""
    earlier = finished_part(part.path, part.result_path, part.digest)
    return earlier if earlier and file_checksum(part.path) == earlier.checksum else None


def write_part(part: Part, report: Report = lambda done: None) -> PartResult:
    """Writes a part, unless it was finished earlier and its file is whole.

    The file, and then the one of its result, appear under their names when they are complete.

    Args:
        part: the part.
        report: is told how many images are done.

    Raises:
        OSError: an image cannot be read, or the file cannot be written.
        UserError: an archive or a photo was changed.
    """
    if earlier := whole_part(part):
        report(len(part.pieces))
        return earlier
    part.result_path.unlink(missing_ok=True)
    result = PartResult(part.digest)
    write_atomically(part.path, lambda temporary: _write_records(part, temporary, result, report))
    write_text(part.result_path, result.to_json())
    return result


def _write_records(part: Part, path: Path, result: PartResult, report: Report) -> None:
    read = ContentsDigest()
    with path.open("wb") as file:
        for done, piece in enumerate(part.pieces, 1):
            try:
                prepared, placed = _read_and_prepare(part, piece, read)
            except BadImage as error:
                result.bad_images.append((visible(piece.key), str(error)))
            else:
                several = class_labels(placed.objects, difficult=True)
                example = tfrecords.example(_features(part, piece, prepared, placed))
                framed = tfrecords.frame(example)
                file.write(framed)
                result.add(several if part.multi_label else [piece.label], prepared, placed, example)
                result.file_bytes += len(framed)
                result.checksum = zlib.crc32(framed, result.checksum)
            report(done)
    result.contents = read.hexdigest()


def _features(part: Part, piece: Piece, prepared: PreparedImage, placed: Placed) -> Mapping[str, tfrecords.Values]:
    """Returns the features of a record; `records.features` describes them to TFDS."""
    features: dict[str, tfrecords.Values] = {
        "image": prepared.image_bytes,
        "file_name": visible(piece.key).encode(),
    }
    if part.annotate:
        features |= object_features(placed.objects)
    if placed.box is not None:
        features["box"] = np.array(placed.box, np.float32)
    if not part.multi_label:
        return features | {"label": [piece.label]}
    return features | {
        "labels": class_labels(placed.objects, difficult=True),
        "labels_no_difficult": class_labels(placed.objects, difficult=False),
    }


def _read_and_prepare(part: Part, piece: Piece, read: ContentsDigest) -> tuple[PreparedImage, Placed]:
    """Returns the prepared image and its objects; adds what was read to the digest.

    Raises:
        BadImage: it cannot be stored.
    """
    try:
        content = part.read(piece)
    except OSError as error:  # such as a bad sector of the disk
        read.add(str(error).encode())
        raise BadImage(f"it cannot be read ({error.strerror or error})") from error
    read.add(content)
    prepared = prepare(content, part.preparation)
    return prepared, part.annotate(piece, prepared) if part.annotate else Placed()


def join_files(parts: Sequence[Path], path: Path) -> None:
    """Writes the contents of several files, one after the other, into a new one."""
    with path.open("wb") as joined:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, joined, 1 << 20)
