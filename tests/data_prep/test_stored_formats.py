"""Tests which images are stored as they are, and that TensorFlow reads everything that is stored as Pillow does."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import stored_formats
from data_prep.image_preparation import Preparation, prepare, prepare_or_reason
from tests.helpers import odd_images
from tests.helpers.images import encode, picture
from vgg_keras.data import transforms


@pytest.fixture(scope="module")
def decode():
    """Returns the graph of `transforms.decode`, traced once."""
    return tf.function(transforms.decode, input_signature=[tf.TensorSpec((), tf.string)])


def format_of(content):
    return Image.open(io.BytesIO(content)).format


@pytest.mark.parametrize("image", odd_images.ALL, ids=lambda image: image.kind)
def test_every_kind_is_stored_without_a_change_of_its_pixels(image, decode):
    prepared = prepare(image.content, Preparation(measure=True))
    assert (prepared.image_bytes == image.content) == image.kind.startswith("PNG")
    assert format_of(prepared.image_bytes) == "PNG"
    np.testing.assert_array_equal(decode(prepared.image_bytes), image.pixels)
    assert prepared.moments.sums == tuple(image.pixels.sum(axis=(0, 1)).tolist())


def smooth(width=64, height=48):
    """Returns a smooth picture of saturated colours, and one whose colours change from pixel to pixel."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns * 4, rows * 5, 255 - columns * 4], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"format": "JPEG"}, True),
        ({"format": "JPEG", "subsampling": 0, "progressive": True}, True),
        ({"format": "MPO", "save_all": True, "append_images": [picture(64, 48)]}, True),
        ({"format": "WEBP", "lossless": True}, False),
        ({"format": "TIFF"}, False),
        ({"format": "JPEG2000"}, False),
        ({"format": "PPM"}, False),
    ],
)
def test_other_formats(arguments, kept, decode):
    content = encode(smooth(), **arguments)
    prepared = prepare(content, Preparation())
    assert (prepared.image_bytes == content, prepared.change) == (kept, "" if kept else "repaired")
    difference = decode(prepared.image_bytes).numpy().astype(int) - np.asarray(smooth())
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "LA", "P", "L", "I;16", "F", "1"])
def test_tiffs_of_every_mode(mode, decode):
    grey = mode in ("LA", "L", "I;16", "F", "1")
    levels = np.asarray(smooth().convert("L"))
    image = {
        "I;16": lambda: Image.fromarray(levels.astype(np.uint16) * 257),
        "F": lambda: Image.fromarray(levels.astype(np.float32) / 255),
    }.get(mode, lambda: smooth().convert(mode))()
    seen = decode(prepare(encode(image, format="TIFF"), Preparation()).image_bytes).numpy().astype(int)
    expected = np.repeat(levels[..., np.newaxis], 3, axis=-1) if grey else np.asarray(smooth())
    if mode in ("1", "P"):  # dithered, so only the brightness is kept
        assert abs(seen.mean() - expected.mean()) < 12
    else:
        assert np.abs(seen - expected).mean() < 2


def test_colours_keep_their_resolution():
    # Red and blue columns: with 4:2:0 both would become the same purple.
    columns = np.zeros((32, 32, 3), np.uint8)
    columns[:, ::2, 0] = columns[:, 1::2, 2] = 255
    stored = prepare(encode(Image.fromarray(columns), format="TIFF"), Preparation()).image_bytes
    seen = np.asarray(Image.open(io.BytesIO(stored))).astype(int)
    assert format_of(stored) == "JPEG"
    assert np.abs(seen - columns).mean() < 4


def damaged(png, at, value=b"\x55"):
    return png[:at] + value + png[at + 1 :]


def test_pngs_that_pillow_forgives_are_stored_anew(decode):
    png = encode(picture(20, 16), format="PNG")
    assert stored_formats.is_sound_png(png)
    assert stored_formats.is_sound_png(png + b"more")
    checksum = png.index(b"IDAT") + 4 + int.from_bytes(png[png.index(b"IDAT") - 4 : png.index(b"IDAT")], "big")
    for content in (
        damaged(png, checksum - 1),  # of the compressed pixels
        png[: png.index(b"IEND") - 4],  # no end
        png[:-1],
        png[:40],
        b"",
    ):
        assert not stored_formats.is_sound_png(content)
    forgiven = png[: png.index(b"IEND") - 4]
    prepared = prepare(forgiven, Preparation())
    assert (format_of(prepared.image_bytes), prepared.change) == ("PNG", "repaired")
    np.testing.assert_array_equal(decode(prepared.image_bytes), np.asarray(picture(20, 16)))


def test_only_jpegs_where_only_jpegs_are_wanted():
    for image in odd_images.ALL[::10]:
        assert format_of(prepare(image.content, Preparation(only_jpeg=True)).image_bytes) == "JPEG"


def test_damaged_metadata_are_not_stored():
    exif = Image.Exif()
    exif[0x0112] = 3
    png = encode(picture(20, 16), format="PNG", exif=exif, dpi=(300, 300))
    stored = Image.open(io.BytesIO(prepare(png, Preparation()).image_bytes))
    assert stored.info == {}
    np.testing.assert_array_equal(np.asarray(stored), np.asarray(picture(20, 16))[::-1, ::-1])


def line_of_pixels(length, **arguments):
    return encode(Image.new("L", (length, 1)), **arguments)


@pytest.mark.parametrize("image_format", ["PNG", "BMP"])
def test_what_tensorflow_cannot_decode_is_not_stored(image_format, decode):
    longest, too_long = (line_of_pixels(length, format=image_format) for length in (1_000_000, 1_000_001))
    assert decode(prepare(longest, Preparation()).image_bytes).shape == (1, 1_000_000, 3)
    assert prepare_or_reason(too_long, Preparation()) == (
        "is 1,000,001x1 pixels, and TensorFlow decodes images with sides of at most 1,000,000; cut it up"
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(encode(Image.new("L", (1_000_001, 1)), format="PNG"))


def test_what_no_jpeg_holds_is_refused_in_words(decode):
    longest, too_long = (line_of_pixels(length, format="TIFF") for length in (65_500, 65_501))
    assert decode(prepare(longest, Preparation()).image_bytes).shape == (1, 65_500, 3)
    assert prepare_or_reason(too_long, Preparation()) == (
        "is 65,501x1 pixels, and JPEG, as which it would be stored, holds images with sides of at most "
        "65,500; cut it up"
    )
    assert decode(prepare(line_of_pixels(65_501, format="PNG"), Preparation()).image_bytes).shape == (1, 65_501, 3)
