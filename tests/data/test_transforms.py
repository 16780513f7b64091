"""Compares each image function, run eagerly and inside tf.data, with NumPy and Pillow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.images import both, encode, picture
from vgg_keras.data import transforms

SEED = (3, 4)


@both
@pytest.mark.parametrize(
    ("image_format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("GIF", "RGB"), ("BMP", "RGB")],
)
def test_decode_equals_pillow(apply, image_format, mode):
    encoded = encode(picture(40, 30).convert(mode), format=image_format)
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    decoded = apply(transforms.decode, encoded)
    assert decoded.dtype == np.uint8
    # JPEG decoders may round colours differently.
    np.testing.assert_allclose(decoded.astype(int), expected.astype(int), atol=2 if image_format == "JPEG" else 0)


@both
def test_decode_refuses_what_is_no_image(apply):
    with pytest.raises(tf.errors.InvalidArgumentError):
        apply(transforms.decode, b"no image")


@both
@pytest.mark.parametrize(
    ("size", "smallest_side", "expected"),
    [
        ((375, 500), 256, (256, 341)),  # 500 * 256 / 375 = 341.33
        ((500, 375), 384, (512, 384)),
        ((333, 500), 256, (256, 384)),  # 384.38
        ((3, 5), 2, (2, 3)),  # 10 / 3 = 3.33
        ((2, 5), 1, (1, 3)),  # 2.5, rounded up
        ((1, 1), 256, (256, 256)),
        ((1, 1000), 224, (224, 224000)),
    ],
)
def test_rescaled_size(apply, size, smallest_side, expected):
    assert tuple(apply(transforms.rescaled_size, size, smallest_side)) == expected


def test_rescaled_sizes_of_several_images():
    sizes = transforms.rescaled_size(np.array([[100, 50], [30, 45]], np.int32), 64)
    assert sizes.numpy().tolist() == [[128, 64], [64, 96]]


@both
@pytest.mark.parametrize(
    ("width", "height", "side"), [(500, 375, 256), (375, 500, 100), (60, 40, 256), (227, 227, 256)]
)
def test_rescale_equals_pillow(apply, width, height, side):
    image = picture(width, height)
    expected_size = (round(width * side / min(width, height)), round(height * side / min(width, height)))
    # Pillow's bilinear filter is antialiased too when it shrinks, but it rounds to whole levels.
    expected = np.asarray(image.resize(expected_size, Image.Resampling.BILINEAR), np.float32)
    rescaled = apply(lambda pixels: transforms.rescale(pixels, side), np.asarray(image))
    assert rescaled.dtype == np.float32
    assert min(rescaled.shape[:2]) == side
    np.testing.assert_allclose(rescaled, expected, atol=1.1)


@both
def test_center_crop(apply):
    image = np.arange(7 * 10 * 3, dtype=np.uint8).reshape(7, 10, 3)
    np.testing.assert_array_equal(apply(lambda pixels: transforms.center_crop(pixels, 4), image), image[1:5, 3:7])


@both
def test_random_crop_is_a_window_that_follows_from_the_seed(apply):
    image = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    crop = lambda pixels, seed: transforms.random_crop(pixels, 5, seed)  # noqa: E731
    windows = {image[y : y + 5, x : x + 5].tobytes(): (y, x) for y in range(5) for x in range(4)}
    places = [windows[apply(crop, image, (seed, 0)).tobytes()] for seed in range(100)]
    assert {y for y, _ in places} == set(range(5))
    assert {x for _, x in places} == set(range(4))
    assert windows[apply(crop, image, (5, 0)).tobytes()] == places[5]


@both
def test_random_flip_mirrors_about_half(apply):
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    flipped = 0
    for seed in range(200):
        result = apply(transforms.random_flip, image, (seed, 1))
        mirrored = np.array_equal(result, image[:, ::-1])
        assert mirrored or np.array_equal(result, image)
        flipped += mirrored
    assert 70 < flipped < 130  # 200 draws: mean 100, standard deviation 7; the bounds are 4 of them away


@both
def test_rgb_shift_follows_krizhevsky(apply):
    # The eigenvalues are like ImageNet's, the eigenvectors are the axes: the shift of red is a1 * l1 / 255.
    eigenvalues = np.array([14143.0, 1222.5, 292.6], np.float32)
    draw = lambda seed: transforms.draw_rgb_shift(np.eye(3), eigenvalues, 0.1, seed)  # noqa: E731
    stddev = np.stack([apply(draw, (seed, 9)) for seed in range(400)]).std(axis=0)
    # 0.1 * 14143 / 255 = 5.546 levels; the deviation of 400 draws is within 15% of it.
    np.testing.assert_allclose(stddev, [5.546, 0.4794, 0.1147], rtol=0.15)


@both
def test_rgb_shift_uses_the_columns_as_eigenvectors(apply):
    vectors = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], np.float32)
    only_first = np.array([255.0, 0.0, 0.0], np.float32)
    shift = apply(lambda seed: transforms.draw_rgb_shift(vectors, only_first, 1.0, seed), SEED)
    np.testing.assert_allclose(shift / np.linalg.norm(shift) * np.sign(shift[0]), [0.6, 0.8, 0.0], atol=1e-6)


@both
def test_no_rgb_shift(apply):
    draw = lambda seed: transforms.draw_rgb_shift(np.eye(3), np.ones(3), 0.0, seed)  # noqa: E731
    assert not apply(draw, SEED).any()


@both
def test_random_scale_covers_the_range(apply):
    scales = {int(apply(lambda seed: transforms.random_scale((5, 8), seed), (seed, 0))) for seed in range(60)}
    assert scales == {5, 6, 7, 8}


@both
def test_crop_grid_windows(apply):
    image = np.random.default_rng(0).integers(0, 256, (256, 341, 3), np.uint8)
    crops = apply(lambda pixels: transforms.crop_grid(pixels, 224), image)
    # Tops cover 256 - 224 = 32 in four steps of 8, lefts 341 - 224 = 117 in four of 29.25: 0, 29, 58.5 -> 59, 88, 117.
    tops, lefts = (0, 8, 16, 24, 32), (0, 29, 59, 88, 117)
    expected = [image[top : top + 224, left : left + 224] for top in tops for left in lefts]
    np.testing.assert_array_equal(crops, expected)


@both
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("width", "height", "side", "offset"),
    [
        (500, 375, 256, (5, 60)),
        (500, 375, 256, (0, 0)),
        (500, 375, 256, (32, 117)),
        (120, 90, 300, (76, 100)),
        (900, 600, 224, (0, 50)),
        (1, 1, 224, (0, 0)),
        (2, 60, 224, (3000, 0)),
    ],
)
def test_decoded_window_equals_a_crop_of_the_whole(apply, image_format, width, height, side, offset):
    encoded = encode(picture(width, height), format=image_format)
    pixels = tf.constant(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")))
    if image_format == "JPEG":
        pixels = transforms.decode(tf.constant(encoded))
    expected = transforms.rescale(pixels, side).numpy()[offset[0] : offset[0] + 224, offset[1] : offset[1] + 224]

    def window(image_bytes):
        size = transforms.encoded_size(image_bytes)
        return transforms.decode_rescaled_window(image_bytes, size, side, tf.constant(offset), 224)

    np.testing.assert_allclose(apply(window, encoded), expected, atol=0.05)


@both
@pytest.mark.parametrize(("width", "height"), [(300, 256), (256, 256), (256, 411)])
def test_a_photo_of_the_training_scale_keeps_its_pixels(apply, width, height):
    photo = picture(width, height)
    offset = (height - 224, (width - 224) // 2)

    def crop(image_bytes):
        size = transforms.encoded_size(image_bytes)
        return transforms.decode_rescaled_window(image_bytes, size, tf.constant(256), tf.constant(offset), 224)

    expected = np.asarray(photo, np.float32)[offset[0] :, offset[1] : offset[1] + 224]
    np.testing.assert_array_equal(apply(crop, encode(photo, format="PNG")), expected)


@both
def test_encoded_size(apply):
    for image_format in ("JPEG", "PNG"):
        assert tuple(apply(transforms.encoded_size, encode(picture(50, 30), format=image_format))) == (30, 50)


@both
def test_a_window_is_cut_out(apply):
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    cut = apply(transforms.cut_out, image, np.array([1, 2, 3, 2], np.int32))
    assert cut.dtype == np.uint8
    np.testing.assert_array_equal(cut, image[1:4, 2:4])
