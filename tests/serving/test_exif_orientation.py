"""Compares the orientation that the graph reads, and the turned pixels, with Pillow's `ImageOps.exif_transpose`."""

import io
import random
import re
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps, __version__

from tests.helpers.exif_photos import (
    MAKER,
    ORIENTATION,
    exif,
    segment,
    tiff,
    turned_photo,
    with_chunk,
    with_segments,
)
from tests.helpers.images import picture
from vgg_keras.data import photo_decoding, transforms
from vgg_keras.serving import exif_orientation

# The release of Pillow.
PILLOW = int(__version__.split(".")[0])

SHORT, LONG, ASCII = 3, 4, 2
_read = tf.function(exif_orientation.read, (tf.TensorSpec((), tf.string),))


def read(content):
    return int(_read(content))


def pillow_reads(content):
    """Returns the orientation that Pillow tells, 1 if it tells none or none that is known."""
    try:
        found = Image.open(io.BytesIO(content)).getexif().get(ORIENTATION)
    except Exception:  # Pillow raises errors of many kinds on damaged metadata
        return 1
    return found if found in range(1, 9) else 1


def decode_upright(image_bytes):
    return exif_orientation.turn(transforms.decode(image_bytes), exif_orientation.read(image_bytes))


def eagerly(function, contents):
    return [function(tf.constant(content)).numpy() for content in contents]


def inside_tf_data(function, contents):
    # All in one pipeline, which is traced once.
    return list(tf.data.Dataset.from_tensor_slices(list(contents)).map(function).as_numpy_iterator())


both = pytest.mark.parametrize("apply", [eagerly, inside_tf_data])
PHOTOS = [
    (orientation, turned_photo(orientation, image_format=image_format, endian=endian))
    for image_format in ("JPEG", "PNG")
    for endian in "<>"
    for orientation in range(1, 9)
]


@both
def test_each_orientation_in_both_byte_orders(apply):
    orientations, photos = zip(*PHOTOS, strict=True)
    assert tuple(apply(exif_orientation.read, photos)) == orientations
    for turned, photo in zip(apply(decode_upright, photos), photos, strict=True):
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(photo))))
        assert expected.shape == (28, 45, 3)
        np.testing.assert_array_equal(turned, expected)


def test_one_pixel_goes_where_the_standard_says():
    # The three marked pixels of a row of 3x2 stored pixels, by hand; 6: the row 0 is the right-hand side, the column 0
    # the top (EXIF 2.3).
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., np.newaxis]
    upright = {
        1: [[1, 2, 3], [4, 5, 6]],
        2: [[3, 2, 1], [6, 5, 4]],
        3: [[6, 5, 4], [3, 2, 1]],
        4: [[4, 5, 6], [1, 2, 3]],
        5: [[1, 4], [2, 5], [3, 6]],
        6: [[4, 1], [5, 2], [6, 3]],
        7: [[6, 3], [5, 2], [4, 1]],
        8: [[3, 6], [2, 5], [1, 4]],
    }
    for orientation, expected in upright.items():
        assert exif_orientation.turn(stored, tf.constant(orientation))[..., 0].numpy().tolist() == expected


def xmp(orientation):
    return b"http://ns.adobe.com/xap/1.0/\0<rdf " + orientation + b" />"


def of_entries(*entries, **settings):
    return with_segments(segment(0xE1, b"Exif\0\0" + tiff(*entries, **settings)))


JFIF, TURNED = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"), segment(0xE1, exif(6))
SIX = (ORIENTATION, SHORT, 1, b"\6\0\0\0")
PLACES = {
    "behind APP0": (with_segments(JFIF, TURNED), 6),
    "behind XMP that tells none": (with_segments(segment(0xE1, xmp(b"")), TURNED), 6),
    "EXIF before XMP": (with_segments(TURNED, segment(0xE1, xmp(b'tiff:Orientation="8"'))), 6),
    "EXIF behind XMP": (with_segments(segment(0xE1, xmp(b'tiff:Orientation="8"')), TURNED), 6),
    "XMP alone, attribute": (with_segments(segment(0xE1, xmp(b'tiff:Orientation="8"'))), 8),
    "XMP alone, element": (with_segments(segment(0xE1, xmp(b">\xff\n<tiff:Orientation>3<"))), 3),
    "XMP, where EXIF has none": (
        with_segments(segment(0xE1, xmp(b'tiff:Orientation="8"')), segment(0xE1, b"Exif\0\0" + tiff())),
        8,
    ),
    "the name of EXIF twice": (with_segments(segment(0xE1, b"Exif\0\0" + exif(6))), 6),
    "behind padding and a marker without length": (with_segments(b"\xff\xff\xff\xff\xd0", TURNED), 6),
    "progressive": (turned_photo(7, progressive=True), 7),
    "of grey levels": (turned_photo(5, picture(45, 28).convert("L")), 5),
    "a long integer": (of_entries((ORIENTATION, LONG, 1, b"\0\0\0\7"), endian=">"), 7),
    "two values": (of_entries((ORIENTATION, SHORT, 2, b"\5\0\3\0")), 5),
    "three values, kept apart": (of_entries((ORIENTATION, SHORT, 3, b"\x1a\0\0\0"), rest=b"\4\0\1\0\1\0"), 4),
    "two entries": (of_entries(SIX, (ORIENTATION, SHORT, 1, b"\3\0\0\0")), 6),
    "an entry of an unknown type before it": (of_entries((MAKER, 99, 8, bytes(4)), SIX), 6),
    "an entry whose values are missing before it": (of_entries((MAKER, ASCII, 9, b"\x99\0\0\0"), SIX), 1),
    "an entry of more values than there is room for": (of_entries((MAKER, ASCII, 999, bytes(4)), SIX), 6),
    "letters": (of_entries((ORIENTATION, ASCII, 2, b"6\0\0\0")), 1),
    "0": (of_entries((ORIENTATION, SHORT, 1, bytes(4))), 1),
    "9": (of_entries((ORIENTATION, SHORT, 1, b"\x09\0\0\0")), 1),
    "no value": (of_entries((ORIENTATION, SHORT, 0, b"\6\0\0\0")), 1),
    "no TIFF": (with_segments(segment(0xE1, b"Exif\0\0" + tiff(SIX, header=b"XX*\0\x08\0\0\0"))), 1),
    "a directory beyond the end": (with_segments(segment(0xE1, b"Exif\0\0" + tiff(SIX, header=b"II*\0\xff\0\0\0"))), 1),
    "EXIF data that are empty": (with_segments(segment(0xE1, b"Exif\0\0")), 1),
    "another APP1": (with_segments(segment(0xE1, b"exif\0\0" + tiff(SIX))), 1),
    "PNG": (with_chunk(b"eXIf", tiff(SIX)), 6),
    "PNG, behind the pixels": (with_chunk(b"eXIf", tiff(SIX), at_end=True), 6),
    "PNG with XMP": (with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<r tiff:Orientation="8"/>'), 8),
    "PNG with another chunk": (with_chunk(b"exIf", tiff(SIX)), 1),
}


@both
def test_where_and_how_an_orientation_is_written(apply):
    contents, expected = zip(*PLACES.values(), strict=True)
    assert dict(zip(PLACES, apply(exif_orientation.read, contents), strict=True)) == dict(
        zip(PLACES, expected, strict=True)
    )


# Pillow 10 reads no XMP of a JPEG, and stops at the entry of too many values.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in PLACES if not re.search("XMP|more values", name)])
def test_pillow_reads_the_same(name):
    if name == "two entries" and PILLOW < 13:
        pytest.skip("before release 13 Pillow takes the last of two orientations")
    content, expected = PLACES[name]
    image = Image.open(io.BytesIO(content))
    image.load()  # so that Pillow has read what stands behind the pixels
    assert image.getexif().get(ORIENTATION, 1) in ((expected,) if expected > 1 else (0, 1, 9, "6"))


@both
def test_other_formats_and_what_is_no_image_are_upright(apply):
    photos = [turned_photo(6, image_format=image_format) for image_format in ("GIF", "BMP", "WEBP", "TIFF")]
    starts = [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xff"]
    assert set(apply(exif_orientation.read, photos + starts)) == {1}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("endian", "<>")
def test_exif_data_that_are_cut_off_anywhere(endian):
    data = exif(6, endian)[6:]
    found = []
    for length in range(len(data) + 1):
        content = with_segments(segment(0xE1, b"Exif\0\0" + data[:length]))
        found.append(read(content))
        assert found[-1] == pillow_reads(content), length
    assert sorted(set(found)) == [1, 6]


def test_a_file_that_is_cut_off_anywhere():
    for content in (turned_photo(8, picture(8, 8)), turned_photo(8, picture(8, 8), "PNG")):
        found = {read(content[:length]) for length in range(len(content))}
        assert found == {1, 8}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_data_are_read_as_pillow_reads_them():
    rng, whole = random.Random(0), turned_photo(6, picture(8, 8))
    begin = whole.index(b"Exif\0\0")
    end = begin - 2 + struct.unpack(">H", whole[begin - 2 : begin])[0]
    differ = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(begin, end)] = rng.randrange(256)
        differ += read(bytes(damaged)) != pillow_reads(bytes(damaged))
    # Releases of Pillow differ in a few, those whose entries have more values than there is room for: 27 in Pillow 12.
    assert differ <= (20 if PILLOW >= 13 else 40)


def test_the_search_ends_after_a_number_of_parts():
    small = b"\xff\xe2\0\2"
    assert read(with_segments(small * 4000, TURNED)) == 6
    assert read(with_segments(small * 100_000, TURNED)) == 1


def test_it_is_the_orientation_by_which_predict_turns():
    for orientation in range(1, 9):
        with photo_decoding.opened(turned_photo(orientation)) as image:
            method = photo_decoding.turn(image)
            pixels = np.asarray(image if method is None else image.transpose(method))
        turned = exif_orientation.turn(np.asarray(image), tf.constant(orientation)).numpy()
        np.testing.assert_array_equal(turned, pixels)
