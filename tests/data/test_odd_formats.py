"""Tests that TensorFlow's graph decodes images of every kind to the pixels that they stand for, or refuses them."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import odd_images
from tests.helpers.images import both, encode, picture
from vgg_keras.data import transforms
from vgg_keras.utils.errors import reason


@pytest.fixture(scope="module")
def decode():
    """Returns the graph of `transforms.decode`, traced once."""
    return tf.function(transforms.decode, input_signature=[tf.TensorSpec((), tf.string)])


@pytest.mark.parametrize("image", odd_images.ALL, ids=lambda image: image.kind)
def test_every_kind_in_a_graph(image, decode):
    if image.in_graph:
        np.testing.assert_array_equal(decode(image.content), image.pixels)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be decoded"):
            decode(image.content)


@both
@pytest.mark.parametrize("kind", ["PNG RGBA 16", "GIF animated, transparent", "BMP 8", "BMP 24 top-down"])
def test_some_kinds_eagerly_and_inside_tf_data(kind, apply):
    (image,) = (image for image in odd_images.ALL if image.kind == kind)
    np.testing.assert_array_equal(apply(transforms.decode, image.content), image.pixels)


def cmyk_jpeg():
    return encode(picture(40, 30).convert("CMYK"), format="JPEG", quality=95)


def without_adobe(jpeg):
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


@both
def test_cmyk_is_decoded_where_adobe_tells_which_end_is_ink(apply):
    seen = apply(transforms.decode, cmyk_jpeg()).astype(int)
    assert np.abs(seen - np.asarray(picture(40, 30))).mean() < 6
    for function in (transforms.decode, transforms.encoded_size):
        with pytest.raises(tf.errors.InvalidArgumentError, match="CMYK JPEG without the marker of Adobe"):
            apply(function, without_adobe(cmyk_jpeg()))


def test_the_reason_is_readable(decode):
    (image,) = (image for image in odd_images.ALL if image.kind == "BMP 4")
    expected = (
        "a BMP of this kind cannot be decoded (header of 40 bytes, 4 bits a pixel, compression 0); save it as PNG"
    )
    for function in (transforms.decode, decode):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            function(image.content)
        assert reason(caught.value) == expected


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP"])
def test_truncated_images_are_refused_wherever_they_end(image_format, decode):
    content = encode(picture(20, 16).quantize(40) if image_format == "BMP" else picture(20, 16), format=image_format)
    for end in (0, 2, 4, 13, 15, 30, 53, 60, len(content) // 2):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(content[:end])


def test_a_bmp_whose_palette_would_be_beyond_the_file(decode):
    bmp = bytearray(encode(picture(20, 16).quantize(40), format="BMP"))
    bmp[14:18] = (2**30).to_bytes(4, "little")  # the size of the header, behind which the palette is
    assert decode(bytes(bmp)).shape == (16, 20, 3)
