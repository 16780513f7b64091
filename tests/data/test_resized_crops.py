"""Compares windows of random area and shape with a plain Python version of torchvision's, and with Pillow."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.images import both, encode, picture
from vgg_keras.data import resized_crops, transforms


def expected_window(height, width, areas, ratios):
    """Returns (height, width) of the window that torchvision's RandomResizedCrop.get_params would take."""
    for area, ratio in zip(areas, ratios, strict=True):
        w = round(math.sqrt(area * height * width * ratio))
        h = round(math.sqrt(area * height * width / ratio))
        if 0 < w <= width and 0 < h <= height:
            return h, w
    if width / height < 3 / 4:
        return round(width / (3 / 4)), width
    if width / height > 4 / 3:
        return height, round(height * (4 / 3))
    return height, width


@both
@pytest.mark.parametrize(
    ("size", "areas", "ratios", "expected"),
    [
        # 0.25 * 200 * 400 = 20,000 pixels: 141.42 squared; with 4/3 as wide as high 122.47 x 163.30.
        ((200, 400), [0.25], [1.0], (141, 141)),
        ((200, 400), [0.25], [4 / 3], (122, 163)),
        # The whole area does not fit as a square (282.8), the second one does.
        ((200, 400), [1.0, 0.5], [1.0, 1.0], (200, 200)),
        # Nothing fits: the largest window of the allowed shapes.
        ((200, 400), [1.0, 1.0], [1.0, 0.75], (200, 267)),
        ((400, 200), [1.0], [1.0], (267, 200)),
        ((300, 310), [1.0], [0.75], (300, 310)),
        ((1, 1), [0.08], [1.0], (1, 1)),
        ((1, 500), [0.08], [1.0], (1, 1)),
    ],
)
def test_a_window_worked_out_by_hand(apply, size, areas, ratios, expected):
    def window(*arguments):
        return resized_crops.first_window(*arguments)[0]

    found = apply(window, np.array(size, np.int32), np.array(areas, np.float64), np.array(ratios, np.float64))
    assert tuple(found) == expected


def test_windows_are_those_of_torchvision():
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = (int(side) for side in rng.integers(1, 600, 2))
        areas, ratios = rng.uniform(0.08, 1, 10), np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), 10))
        found, _ = resized_crops.first_window(tf.constant([height, width]), areas, ratios)
        assert tuple(found.numpy()) == expected_window(height, width, areas, ratios)


def draws(size, count):
    """Returns the offsets and the windows that seeds give, (count, 2) each."""
    seeds = tf.data.Dataset.from_tensor_slices(np.stack([np.arange(count), np.full(count, 5)], axis=1))
    drawn = seeds.map(lambda seed: resized_crops.draw_window(tf.constant(size), seed)).batch(count)
    return next(drawn.as_numpy_iterator())


def test_areas_shapes_and_places_are_uniform():
    # In a photo of a square nearly all first tries fit: areas up to 3/4 always.
    size, count = (1000, 1000), 2000
    offsets, windows = draws(size, count)
    areas = windows.prod(axis=1) / 1e6
    small = areas[areas < 0.7]
    # A standard deviation of a mean of 1,350 uniform draws is 0.29 * 0.62 / 37 = 0.005.
    assert abs(small.mean() - (0.08 + 0.7) / 2) < 0.02
    np.testing.assert_allclose([areas.min(), areas.max()], [0.08, 1], atol=0.02)
    ratios = np.log(windows[:, 1] / windows[:, 0])[areas < 0.7]
    np.testing.assert_allclose([ratios.mean(), ratios.std()], [0, 2 * math.log(4 / 3) / math.sqrt(12)], atol=0.02)
    assert np.abs(ratios).max() < math.log(4 / 3) + 0.01
    room = np.array(size) - windows
    assert ((offsets >= 0) & (offsets <= room)).all()
    places = (offsets / np.maximum(room, 1))[areas < 0.7]
    np.testing.assert_allclose(places.mean(axis=0), 0.5, atol=0.04)
    np.testing.assert_allclose(places.std(axis=0), 1 / math.sqrt(12), atol=0.02)


def test_a_photo_too_long_for_any_window_gives_its_centre():
    offsets, windows = draws((10, 1000), 5)  # the smallest window of 8% has 24 rows
    assert windows.tolist() == [[10, 13]] * 5
    assert offsets.tolist() == [[0, 493]] * 5


@both
def test_the_window_follows_from_the_seed(apply):
    size = np.array((300, 400), np.int32)
    window = lambda size, seed: tf.concat(resized_crops.draw_window(size, seed), axis=0)  # noqa: E731
    found = [tuple(apply(window, size, (seed, 1))) for seed in range(8)]
    assert len(set(found)) == 8
    assert tuple(apply(window, size, (3, 1))) == found[3]


@both
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("offset", "window"),
    [((5, 60), (300, 250)), ((0, 0), (375, 500)), ((370, 490), (5, 10)), ((100, 33), (40, 47)), ((0, 499), (1, 1))],
)
def test_a_resized_window_equals_pillows(apply, image_format, offset, window):
    encoded = encode(picture(500, 375), format=image_format)
    (top, left), (height, width) = offset, window
    cut = Image.open(io.BytesIO(encoded)).convert("RGB").crop((left, top, left + width, top + height))
    expected = np.asarray(cut.resize((64, 64), Image.Resampling.BILINEAR), np.float32)

    def resized(image_bytes):
        size = transforms.encoded_size(image_bytes)
        return resized_crops.decode_resized(image_bytes, size, tf.constant(offset), tf.constant(window), 64)

    found = apply(resized, encoded)
    assert found.dtype == np.float32
    # Pillow rounds to whole levels, once for each axis, and JPEG decoders round colours differently.
    np.testing.assert_allclose(found, expected, atol=3.1 if image_format == "JPEG" else 1.1)


@both
@pytest.mark.parametrize(("width", "height"), [(500, 375), (40, 90), (64, 64), (1, 7)])
def test_squash_equals_pillow(apply, width, height):
    image = picture(width, height)
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR), np.float32)
    squashed = apply(lambda pixels: resized_crops.squash(pixels, 64), np.asarray(image))
    assert squashed.shape == (64, 64, 3)
    np.testing.assert_allclose(squashed, expected, atol=1.1)
