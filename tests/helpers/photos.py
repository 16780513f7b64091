"""Makes small photos, archives and data sets for the tests of `data_prep`."""

import io
import tarfile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import RawImage, Source
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


def make_source(images, **arguments):
    """Returns a source of one class, "a", whose train split consists of the given (key, bytes) pairs."""
    splits = {"train": images, "validation": [("v", encode())]}
    return Source(
        name="test",
        description="Test.",
        class_names=["a"],
        label_names=["a"],
        splits={name: lambda pairs=pairs: [RawImage(*pair, 0) for pair in pairs] for name, pairs in splits.items()},
        num_images={split: len(pairs) for split, pairs in splits.items()},
        **arguments,
    )  # fmt: skip


def write(source, folder, **options):
    print_summary(write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1, **options)))


def read(folder, split):
    """Reads a written split with TFDS alone: {file name: (image bytes, label)}."""
    builder = tfds.builder_from_directory(folder)
    examples = builder.as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()}).as_numpy_iterator()
    return {e["file_name"].decode(): (e["image"], int(e["label"])) for e in examples}
