"""Makes small photos, archives and data sets for the tests of `data_prep`."""

import functools
import io
import tarfile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Source, Split
from data_prep.summary import print_summary


def encode(size=(8, 6), mode="RGB", image_format="JPEG", seed=0, **arguments):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(encoded, format=image_format, **arguments)
    return encoded.getvalue()


def decoded(image_bytes):
    return np.asarray(Image.open(io.BytesIO(image_bytes)).convert("RGB"))


def make_tar(path, files, compression=""):
    with tarfile.open(path, f"w:{compression}") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def _read(images, piece):
    return images[piece.mark]


def make_split(images, label=0, origin="", annotate=None):
    """Returns a split of the given (key, bytes) pairs in memory; a label may be given for each."""
    labels = [label] * len(images) if isinstance(label, int) else label
    pieces = [Piece(key, labels[mark], len(data), mark) for mark, (key, data) in enumerate(images)]
    reader = functools.partial(_read, [data for _, data in images])
    return Split(Pieces.collect(pieces), lambda _: reader, origin, annotate)


def make_source(images, **arguments):
    """Returns a source of one class, "a", whose train split consists of the given (key, bytes) pairs."""
    return Source(
        name="test",
        description="Test.",
        class_names=["a"],
        label_names=["a"],
        splits={"train": make_split(images), "validation": make_split([("v", encode())])},
        **arguments,
    )


def read_pieces(source, split, folder):
    """Reads the images of a split as a source lists them: {key: (image bytes, label)}."""
    pieces, read = source.splits[split].pieces, source.splits[split].make_reader(folder)
    return {piece.key: (read(piece), piece.label) for piece in pieces}


def write(source, folder, **options):
    print_summary(write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1, **options)))


def read(folder, split):
    """Reads a written split with TFDS alone: {file name: (image bytes, label)}."""
    builder = tfds.builder_from_directory(folder)
    examples = builder.as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()}).as_numpy_iterator()
    return {e["file_name"].decode(): (e["image"], int(e["label"])) for e in examples}
