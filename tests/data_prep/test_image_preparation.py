"""Tests the preparation of an image for the records: it is checked, repaired and shrunk."""

import io

import numpy as np
import pytest
from PIL import Image

from data_prep.image_preparation import Preparation, isotropic_size, prepare
from tests.helpers.photos import decoded, encode
from vgg_keras.data.photo_decoding import BadImage


def test_small_images_stay_byte_identical():
    data = encode((8, 6))
    assert prepare(data, Preparation(smallest_side=6)).image_bytes == data
    assert prepare(data, Preparation()).image_bytes == data


def test_larger_images_shrink_to_the_smallest_side():
    prepared = prepare(encode((90, 60)), Preparation(smallest_side=40))
    assert prepared.change == "shrunk"
    assert Image.open(io.BytesIO(prepared.image_bytes)).size == (60, 40)
    # At quality 95 Pillow's luminance table begins with these entries: the standard table times 0.1, rounded.
    assert Image.open(io.BytesIO(prepared.image_bytes)).quantization[0][:3] == [2, 1, 1]


@pytest.mark.parametrize(("size", "expected"), [((500, 375), (341, 256)), ((5, 2), (640, 256)), ((1, 1), (256, 256))])
def test_isotropic_size(size, expected):
    assert isotropic_size(*size, 256) == expected


def test_one_pixel_is_fine():
    assert prepare(encode((1, 1)), Preparation()).change == ""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"no image at all", "not an image"),
        (encode((64, 64))[:-400], "truncated"),
        (encode((64, 64), image_format="PNG")[:-4000], "truncated|broken|bad"),
    ],
)
def test_bad_images_are_refused_with_a_reason(data, reason):
    with pytest.raises(BadImage, match=reason):
        prepare(data, Preparation())


def test_cmyk_becomes_rgb():
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("CMYK").save(encoded, format="JPEG")
    data = encoded.getvalue()
    prepared = prepare(data, Preparation())
    image = Image.open(io.BytesIO(prepared.image_bytes))
    assert (image.mode, image.format, prepared.change) == ("RGB", "JPEG", "repaired")
    assert np.abs(decoded(prepared.image_bytes).astype(int) - decoded(data)).mean() < 2


def test_png_named_jpeg_becomes_jpeg_where_only_jpeg_is_wanted():
    data = encode(image_format="PNG")
    assert prepare(data, Preparation()).image_bytes == data
    prepared = prepare(data, Preparation(only_jpeg=True))
    assert (Image.open(io.BytesIO(prepared.image_bytes)).format, prepared.change) == ("JPEG", "repaired")


def test_exif_orientation_is_applied_unless_it_must_not():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation 6: the image is upright after a turn by 90 degrees clockwise
    data = encode((16, 8), exif=exif)
    assert Image.open(io.BytesIO(prepare(data, Preparation()).image_bytes)).size == (8, 16)
    assert prepare(data, Preparation(upright=False)).image_bytes == data
