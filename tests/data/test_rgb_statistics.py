"""Compares mean and covariance with NumPy."""

import json
import math

import numpy as np
import pytest

from tests.helpers.photos import decoded, encode, make_source, read, write
from vgg_keras.data.rgb_statistics import RgbMoments, RgbStatistics
from vgg_keras.utils.errors import UserError


def test_equal_numpy():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, 7, 3), np.uint8) for height in (3, 11, 2)]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
    statistics = RgbStatistics.from_moments(sum(map(RgbMoments.measure, images), RgbMoments()))
    np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-12)
    covariance = np.cov(pixels.T, bias=True)
    rebuilt = statistics.eigenvectors @ np.diag(statistics.eigenvalues) @ statistics.eigenvectors.T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-9)
    assert list(statistics.eigenvalues) == sorted(statistics.eigenvalues, reverse=True)


@pytest.mark.parametrize("shape", [(1, 1), (128, 128), (127, 129), (113, 145), (300, 257)])  # 2^14 pixels, -1, +1, more
@pytest.mark.parametrize("darkest", [0, 255])  # all white: the largest sums
def test_sums_are_those_of_integers(shape, darkest):
    image = np.random.default_rng(0).integers(darkest, 256, (*shape, 3), np.uint8)
    pixels = image.reshape(-1, 3).astype(np.int64)
    expected = RgbMoments(
        shape[0] * shape[1],
        tuple(int(pixels[:, channel].sum()) for channel in range(3)),
        tuple(tuple(int((pixels[:, one] * pixels[:, other]).sum()) for other in range(3)) for one in range(3)),
    )
    assert RgbMoments.measure(image) == expected
    assert RgbMoments.measure(image[::-1].transpose(1, 0, 2)) == expected  # a view that is not contiguous


def test_worked_out_by_hand():
    # Two pixels: mean (10, 0, 5), covariance diag(100, 0, 0).
    image = np.array([[[0, 0, 5], [20, 0, 5]]], np.uint8)
    statistics = RgbStatistics.from_moments(RgbMoments.measure(image))
    np.testing.assert_allclose(statistics.mean, [10, 0, 5])
    np.testing.assert_allclose(statistics.eigenvalues, [100, 0, 0], atol=1e-12)
    np.testing.assert_allclose(statistics.eigenvectors[:, 0], [1, 0, 0])


def test_written_file_is_of_the_stored_training_pixels(tmp_path):
    images = [(str(seed), encode((20, 10 + seed), seed=seed)) for seed in range(3)]
    write(make_source(images), tmp_path / "out", resize_smallest_side=11)
    stored = [decoded(data).reshape(-1, 3) for data, _ in read(tmp_path / "out", "train").values()]
    pixels = np.concatenate(stored).astype(np.float64)
    content = json.loads((tmp_path / "out" / "rgb_statistics.json").read_text())
    assert content["num_pixels"] == 20 * 10 + 20 * 11 + 18 * 11  # 12 rows shrink to 11: 20 * 11 / 12 = 18.3
    np.testing.assert_allclose(content["mean"], pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(content["eigenvalues"], np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[::-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mean", [1, 2], r"mean is \[1, 2\], should be a list of 3"),
        ("mean", [1, 2, math.nan], r"mean\[2\] is NaN, should be a number from 0 to 255"),
        ("mean", [1, 2, 256], r"mean\[2\] is 256, should be a number from 0 to 255"),
        ("eigenvalues", [1, math.inf, 0], r"eigenvalues\[1\] is Infinity"),
        ("eigenvalues", [1, 1, -1], r"eigenvalues\[2\] is -1"),
        ("eigenvectors", [[1, 0, 0], [0, 1, 0], [0, 1, 0]], "the columns of eigenvectors are no orthogonal"),
        ("eigenvectors", "abc", 'eigenvectors is "abc", should be a list'),
        ("scale", "0..1", 'scale is "0..1", should be one of "0..255"'),
        ("num_pixels", 0, "num_pixels is 0"),
    ],
)
def test_damaged_file(key, value, message, tmp_path):
    whole = {"scale": "0..255", "mean": [1, 2, 3], "eigenvalues": [3, 2, 1], "num_pixels": 9}
    content = {**whole, "eigenvectors": np.eye(3).tolist(), key: value}
    (tmp_path / "rgb_statistics.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"rgb_statistics\.json is damaged: {message}.*; remove it, and they are"):
        RgbStatistics.load(tmp_path)


def test_a_digit_that_was_changed_later(tmp_path):
    RgbStatistics(np.array([1.0, 2.0, 3.0]), np.eye(3), np.array([3.0, 2.0, 1.0]), 9).save(tmp_path)
    path = tmp_path / "rgb_statistics.json"
    assert RgbStatistics.load(tmp_path).num_pixels == 9
    path.write_text(path.read_text().replace('"num_pixels": 9', '"num_pixels": 8'))
    with pytest.raises(UserError, match="its content does not have its checksum"):
        RgbStatistics.load(tmp_path)
