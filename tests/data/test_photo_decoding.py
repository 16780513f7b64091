"""Tests that photos of any kind are decoded rightly by Pillow, and that each of its errors is that photo's error."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.helpers import odd_images
from tests.helpers.images import encode, picture
from vgg_keras.data import decoding_memory, photo_decoding
from vgg_keras.data.photo_decoding import BadImage, to_rgb, upright_rgb


@pytest.mark.parametrize("image", odd_images.ALL, ids=lambda image: image.kind)
def test_every_kind(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(np.asarray(upright_rgb(image.content)), image.pixels)


def grey(levels):
    """Returns the grey levels of an RGB image, whose channels are equal."""
    rgb = np.asarray(levels)
    assert (rgb[..., 0] == rgb[..., 1]).all()
    assert (rgb[..., 0] == rgb[..., 2]).all()
    return rgb[..., 0].tolist()


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (np.array([[0, 255, 256, 65535]], np.uint16), [[0, 0, 1, 255]]),  # 16 bits: the high byte
        (np.array([[0, 7, 255]], np.int32), [[0, 7, 255]]),
        (np.array([[0, 7, 256, 65535]], np.int32), [[0, 0, 1, 255]]),
        (np.array([[0, 0.5, 1]], np.float32), [[0, 128, 255]]),
        (np.array([[0, 0.5, 200.6]], np.float32), [[0, 0, 201]]),
        (np.array([[0, 300, 65535]], np.float32), [[0, 1, 255]]),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_levels_of_more_than_eight_bits(levels, expected, turned):
    exif = Image.Exif()
    exif[0x0112] = 3 if turned else 1  # 3: upside down, so the row is reversed
    tiff = encode(Image.fromarray(levels), format="TIFF", exif=exif)
    assert grey(upright_rgb(tiff)) == ([expected[0][::-1]] if turned else expected)
    assert grey(to_rgb(Image.fromarray(levels))) == expected


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        (np.array([[-1, 7]], np.int32), "holds levels from -1 to 7, which do not tell what is white"),
        (np.array([[0, 70000]], np.int32), "holds levels from 0 to 70000"),
        (np.array([[-0.5, 0.5]], np.float32), "holds levels from -0.5 to 0.5"),
        (np.array([[0, 1e9]], np.float32), r"holds levels from 0 to 1e\+09"),
        (np.array([[0, np.nan]], np.float32), "holds levels from nan to nan"),
    ],
)
def test_levels_without_a_known_white_are_refused(levels, reason):
    with pytest.raises(BadImage, match=reason):
        upright_rgb(encode(Image.fromarray(levels), format="TIFF"))


def test_twelve_bits_of_a_tiff():
    tiff = bytearray(encode(Image.fromarray(np.zeros((1, 4), np.uint16)), format="TIFF"))
    entry = tiff.index(struct.pack("<HHI", 258, 3, 1))  # BitsPerSample
    tiff[entry + 8 : entry + 10] = struct.pack("<H", 12)
    data = struct.unpack("<I", tiff[(at := tiff.index(struct.pack("<HH", 273, 4))) + 8 : at + 12])[0]
    tiff[data : data + 6] = bytes.fromhex("000001f000ff")  # 0x000, 0x001, 0xf00, 0x0ff
    assert grey(upright_rgb(bytes(tiff))) == [[0x00, 0x00, 0xF0, 0x0F]]


def test_sixteen_bits_of_dark_pgm():
    pgm = b"P5 2 1 65535\n" + struct.pack(">HH", 10, 255)
    assert grey(upright_rgb(pgm)) == [[0, 0]]


def photo_with_exif(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = orientation, "maker", 72.0
    return encode(picture(24, 16), format="JPEG", exif=exif)


def test_a_photo_whose_exif_is_damaged_is_used_without_it():
    upright = np.asarray(upright_rgb(encode(picture(24, 16), format="JPEG")))
    whole = photo_with_exif(3)
    np.testing.assert_array_equal(np.asarray(upright_rgb(whole)), upright[::-1, ::-1])
    start = whole.index(b"Exif\0\0") + 6
    end = start - 8 + int.from_bytes(whole[start - 8 : start - 6], "big")
    rng = np.random.default_rng(0)
    for at in range(start, end):
        for value in (0, 0x7F, 0xFF, *rng.integers(0, 256, 2)):
            damaged = bytearray(whole)
            damaged[at] = value
            seen = np.asarray(upright_rgb(bytes(damaged)))
            turned = [upright, *(np.asarray(Image.fromarray(upright).transpose(turn)) for turn in Image.Transpose)]
            assert any(np.array_equal(seen, one) for one in turned), (at, value)
    damaged = whole[:start] + b"\xff" * (end - start) + whole[end:]
    np.testing.assert_array_equal(np.asarray(upright_rgb(damaged)), upright)


@pytest.mark.parametrize(
    "error",
    [struct.error("unpack"), KeyError("x"), OverflowError("too large"), RecursionError(), MemoryError(), EOFError()],
)
@pytest.mark.parametrize("at", ["open", "load", "convert", "getexif"])
def test_every_error_of_pillow_is_that_photos_error(error, at, monkeypatch):
    content = encode(picture(24, 16).convert("L"), format="PNG")

    def fail(*_, **__):
        raise error

    if at == "open":
        monkeypatch.setattr(Image, "open", fail)
    else:
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile." + at, fail)
    if at == "getexif":
        assert upright_rgb(content).size == (24, 16)
        return
    with pytest.raises(BadImage) as caught:
        upright_rgb(content)
    assert "needs more memory" in str(caught.value) or f"damaged ({type(error).__name__}" in str(caught.value)


def test_more_pixels_than_pillow_allows_are_an_error_and_no_warning(monkeypatch):
    content = encode(picture(40, 30), format="PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for allowed in (1199, 599, 10):  # Pillow itself only warns of up to twice as many
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", allowed)
            with pytest.raises(BadImage, match=r"has more than the .* million pixels that Pillow allows; shrink it"):
                upright_rgb(content)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1200)
        assert upright_rgb(content).size == (40, 30)


@pytest.mark.parametrize("size", [(1_000_001, 1), (1, 1_000_001)])
def test_a_side_that_tensorflow_does_not_decode_is_refused_before_the_pixels_are_read(size):
    content = encode(Image.new("1", size), format="PNG")
    reason = f"is {size[0]:,}x{size[1]:,} pixels, and TensorFlow decodes images with sides of at most 1,000,000"
    for some in (content, content[:50]):
        with pytest.raises(photo_decoding.BadImage, match=reason):
            photo_decoding.upright_rgb(some)


def test_no_other_program_is_started_to_draw_a_file():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(BadImage, match="an EPS file is a program"):
        upright_rgb(eps)


def test_the_memory_of_the_declared_pixels_is_reserved_while_a_photo_is_open(monkeypatch):
    reserved = []

    class Memory(decoding_memory.contextlib.nullcontext):
        def __exit__(self, *_):
            reserved.append("released")

    monkeypatch.setattr(decoding_memory, "reserved", lambda pixels: reserved.append(pixels) or Memory())
    with photo_decoding.opened(encode(picture(24, 16), format="PNG")):
        assert reserved == [24 * 16]
    assert reserved == [24 * 16, "released"]
    with pytest.raises(BadImage):
        upright_rgb(encode(picture(24, 16), format="PNG")[:-100])
    assert reserved[2:] == [24 * 16, "released"]


def test_the_transparency_of_a_palette_is_dropped():
    image = picture(8, 8).quantize(4)
    image.info["transparency"] = bytes([0, 128, 255, 255])
    expected = np.asarray(Image.open(io.BytesIO(encode(picture(8, 8).quantize(4), format="PNG"))).convert("RGB"))
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), expected)
