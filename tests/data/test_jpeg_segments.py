"""Tests the walk over a JPEG's segments."""

import io

import pytest
from PIL import Image

from tests.helpers.images import encode, picture
from vgg_keras.data import jpeg_segments


def jpeg(**arguments):
    return encode(picture(24, 16), format="JPEG", **arguments)


def test_the_coding_process():
    assert jpeg_segments.coding_process(jpeg()) == 0xC0
    assert jpeg_segments.coding_process(jpeg(progressive=True)) == 0xC2
    for content in (b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG", jpeg()[:30]):
        assert jpeg_segments.coding_process(content) is None
        assert not jpeg_segments.is_complete(content)


def test_the_metadata_are_removed_and_nothing_else():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    plain = jpeg()
    assert jpeg_segments.without_metadata(plain) == plain
    assert jpeg_segments.without_metadata(jpeg(exif=exif, icc_profile=b"profile", comment=b"hello")) == plain
    # A CMYK JPEG keeps Adobe's segment, which tells how its ink is stored.
    cmyk = encode(picture(24, 16).convert("CMYK"), format="JPEG", exif=exif)
    without = jpeg_segments.without_metadata(cmyk)
    assert b"maker" in cmyk
    assert b"maker" not in without
    assert Image.open(io.BytesIO(without)).tobytes() == Image.open(io.BytesIO(cmyk)).tobytes()
    png = encode(picture(24, 16), format="PNG")
    assert jpeg_segments.without_metadata(png) == png


@pytest.mark.parametrize("arguments", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}])
def test_completeness(arguments):
    content = jpeg(**arguments)
    assert jpeg_segments.is_complete(content)
    assert jpeg_segments.is_complete(content + b"more bytes, as cameras write them")
    assert jpeg_segments.is_complete(content[:2] + b"\xff\xff" + content[2:])  # padding before a marker
    assert not jpeg_segments.is_complete(content[:-2])
    assert not jpeg_segments.is_complete(content[:-20] + b"\xff\x13" + content[-20:])


def test_long_padding_takes_time_in_proportion_to_its_length():
    # Of this length, quadratic time would be hours.
    padding = b"\xff" * 3_000_000
    content = jpeg()
    assert jpeg_segments.is_complete(content[:-2] + padding + content[-2:])
    assert not jpeg_segments.is_complete(content[:-2] + padding)
    assert not jpeg_segments.is_complete(content[:-2] + padding + b"\x00")
