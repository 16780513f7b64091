"""Compares the size that an encoded image declares with the size that Pillow wrote."""

import io
import struct

import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.images import both, encode, picture
from vgg_keras.serving.image_headers import declared_pixels

MANY = 10**9


def pixels(image_bytes):
    return declared_pixels(image_bytes, MANY)


def animated(count, size):
    """Returns a GIF that repeats one frame, assembled from a GIF of Pillow's."""
    one = encode(picture(*size).quantize(256), format="GIF")
    start = 13 + 3 * 2 ** ((one[10] & 7) + 1)  # length of the header and the colour table
    return one[:start] + one[start:-1] * count + one[-1:]


@both
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("size", [(301, 200), (1, 1)])
def test_width_times_height(apply, image_format, size):
    assert apply(pixels, encode(picture(*size), format=image_format)) == size[0] * size[1]


@both
def test_all_frames_of_a_gif_count(apply):
    gif = animated(20, (300, 200))
    assert Image.open(io.BytesIO(gif)).n_frames == 20
    assert apply(pixels, gif) == 20 * 300 * 200


@both
def test_counting_stops_when_it_is_enough(apply):
    counted = apply(lambda image_bytes: declared_pixels(image_bytes, 100_000), animated(20, (300, 200)))
    assert counted == 2 * 300 * 200


@both
def test_a_gif_with_small_blocks_of_data_and_tables_of_its_own(apply):
    # A GIF written by hand: a screen of 3x2 with 2 colours; an extension; a frame of 5x4 with a table of 4 colours and
    # data in blocks of 3, 255, 255 and 1 bytes; a frame of 2x1 without a table.
    data = b"\x03abc" + b"\xff" + bytes(255) + b"\xff" + b"," * 255 + b"\x01x" + b"\x00"
    gif = b"GIF89a" + struct.pack("<HHBBB", 3, 2, 0x80, 0, 0) + bytes(6)
    gif += b"\x21\xfe\x02hi\x00"
    gif += b"," + struct.pack("<HHHHB", 0, 0, 5, 4, 0x81) + bytes(12) + b"\x02" + data
    gif += b"," + struct.pack("<HHHHB", 0, 0, 2, 1, 0) + b"\x02" + b"\x01x\x00" + b";"
    assert apply(pixels, gif) == 5 * 4 + 2 * 1


@both
def test_a_bmp_from_top_to_bottom(apply):
    bmp = bytearray(encode(picture(30, 20), format="BMP"))
    bmp[22:26] = struct.pack("<i", -20)
    assert apply(pixels, bytes(bmp)) == 600
    # OS/2 writes a header of 12 bytes, with width and height of two bytes each.
    assert apply(pixels, b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 30, 20, 1, 24)) == 600


@both
def test_no_image_declares_nothing(apply):
    for content in (b"", b"x", b"this is text", b"GI", b"RIFF....WEBP"):
        assert apply(pixels, content) == 0


@both
@pytest.mark.parametrize("image_format", ["PNG", "GIF", "BMP"])
def test_a_header_that_is_cut_off(apply, image_format):
    content = encode(picture(30, 20), format=image_format)
    for length in (2, 4, 5, 8):
        assert apply(pixels, content[:length]) == 0


@both
def test_a_jpeg_that_is_cut_off(apply):
    with pytest.raises(tf.errors.InvalidArgumentError):
        apply(pixels, encode(picture(30, 20), format="JPEG")[:20])
