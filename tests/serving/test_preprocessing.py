"""Tests the views of the images of a request, and the refusal of bad images by their index in the request."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers import odd_images
from tests.helpers.evaluation_data import photo
from tests.helpers.exif_photos import turned_photo
from tests.helpers.images import encode, picture
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, MULTI_CROP
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving.preprocessing import RequestPreprocessor

GOOD = photo(1, (90, 64))


def looked_at(images, **settings):
    """Returns the views of each image at each scale, as the net is shown them."""
    request = RequestPreprocessor(
        **{"method": DENSE, "test_scales": (32,), "crop_size": 32, "max_pixels": 10_000, **settings}
    )
    function = tf.function(request.views, input_signature=[tf.TensorSpec((None,), tf.string)])
    rows, sizes = function(tf.constant(images, tf.string, shape=(len(images),)))
    seen = [[tf.io.parse_tensor(one, tf.float32).numpy() for one in row] for row in rows.numpy()]
    assert sizes.numpy().tolist() == [[list(one.shape[1:3]) for one in row] for row in seen]
    assert all(len(one) == request.num_views for row in seen for one in row)
    return seen


def test_mixed_sizes_and_formats_and_scales():
    images = [encode(picture(60, 40), format=name) for name in ("PNG", "BMP", "GIF")]
    images += [photo(2, (30, 70)), encode(picture(60, 40).convert("L"), format="PNG")]
    seen = looked_at(images, test_scales=(32, 64))
    assert [[one.shape for one in row] for row in seen] == [
        *([[(1, 32, 48, 3), (1, 64, 96, 3)]] * 3),
        [(1, 75, 32, 3), (1, 149, 64, 3)],
        [(1, 32, 48, 3), (1, 64, 96, 3)],
    ]
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert looked_at([]) == []


def test_squashed_photos_of_any_shape():
    images = [encode(picture(width, 40), format="PNG") for width in (40, 61, 1)]
    seen = looked_at(images, method=SQUASH)
    assert [one.shape for (one,) in seen] == [(1, 32, 32, 3)] * 3
    expected = np.asarray(picture(61, 40).resize((32, 32), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(seen[1][0][0], expected, atol=1.1)


@pytest.mark.parametrize("method", [DENSE, MULTI_CROP, CENTER_CROP, SQUASH])
def test_a_phones_photos_are_seen_upright(method):
    # Around the centre crop of the second picture an odd number of columns is left.
    pictures = [picture(46, 31), picture(45, 31)]
    photos = [
        [encode(upright, format="PNG"), *(turned_photo(number, upright, "PNG") for number in range(1, 9))]
        for upright in pictures
    ]
    seen = looked_at([*photos[0], *photos[1]], method=method)
    for upright, *others in (seen[:9], seen[9:]):
        for (one,) in others:
            np.testing.assert_allclose(one, upright[0], atol=1e-3)


@pytest.mark.parametrize("method", [DENSE, CENTER_CROP, SQUASH])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([b"text"], r"image_bytes\[0\] does not decode as a JPEG, PNG, GIF or BMP"),
        ([encode(picture(30, 20), format="WEBP"), GOOD], r"image_bytes\[0\] does not decode"),
        ([GOOD, GOOD, b"", GOOD], r"image_bytes\[2\] does not decode"),
        ([GOOD, GOOD[: len(GOOD) // 2], b"GIF8", b"\x89PNG"], r"image_bytes\[1 2 3\] does not decode"),
        ([GOOD, encode(picture(101, 100), format="JPEG")], r"image_bytes\[1\] has more than 0\.01 million pixels"),
    ],
)
def test_what_is_refused(method, images, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        looked_at(images, method=method)


@pytest.mark.parametrize("method", [DENSE, CENTER_CROP])
def test_a_png_with_a_side_that_tensorflow_does_not_decode(method):
    longest, too_long = (encode(Image.new("1", (side, 1)), format="PNG") for side in (1_000_000, 1_000_001))
    settings = {"method": method, "max_pixels": 2_000_000}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\] does not decode"):
        looked_at([GOOD, too_long], **settings)
    if method == CENTER_CROP:
        assert looked_at([GOOD, longest], **settings)[1][0].shape == (1, 32, 32, 3)


def test_an_image_that_would_be_huge_when_it_is_rescaled():
    thin = encode(picture(3000, 3), format="PNG")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\] is too long and thin to be looked at"):
        looked_at([GOOD, thin], test_scales=(64,))
    # Only the centre of it is decoded, which is small, also where it is turned.
    lying = turned_photo(6, picture(3, 3000), "PNG")
    seen = looked_at([GOOD, thin, lying], method=CENTER_CROP, test_scales=(64,))
    assert [one.shape for (one,) in seen] == [(1, 32, 32, 3)] * 3


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(image_format):
    # 900 million pixels in 110 kB. The header alone decides: without its data the image gets the same answer.
    side = 30_000
    if image_format == "PNG":
        bomb = encode(Image.new("1", (side, side)), format="PNG")
    else:
        bomb = b"GIF89a" + np.array([side, side], "<u2").tobytes() + b"\x00\x00\x00;"
    for content in (bomb, bomb[:64]):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[0\] has more than 100 million pixels"):
            looked_at([content], max_pixels=100_000_000)


@pytest.mark.parametrize("method", [DENSE, CENTER_CROP])
def test_odd_formats_are_seen_as_png_or_refused(method):
    kinds = {image.kind: image for image in odd_images.ALL}
    for kind in ("BMP 8", "BMP 32 with alpha", "GIF transparent", "PNG grey 16"):
        png = encode(Image.fromarray(kinds[kind].pixels), format="PNG")
        seen, expected = looked_at([kinds[kind].content, png], method=method, test_scales=(32,))
        np.testing.assert_array_equal(seen[0], expected[0])
    refused = [
        kinds[kind].content for kind in ("BMP 4", "BMP 8 run-length", "BMP 24 of OS/2", "GIF with a small frame")
    ]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1 2 3 4\] does not decode"):
        looked_at([GOOD, *refused], method=method)
