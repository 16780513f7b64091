"""Tests the map of pixels to what a convolution sees, against numbers worked out by hand."""

import numpy as np
import pytest

from vgg_keras.models import input_map
from vgg_keras.models.input_map import InputMap


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2, 8, 8, 3)).astype(np.float32)


CAFFE = InputMap.of((123.68, 116.779, 103.939), reverse=True)


def test_scale_order_and_mean_are_found(images):
    found = input_map.fit(images, images / 127.5 - 1)
    np.testing.assert_allclose(found.mean, [127.5] * 3, atol=1e-3)
    np.testing.assert_allclose(found.matrix, np.eye(3) / 127.5, atol=1e-7)
    found = input_map.fit(images, images[..., ::-1] - np.float32([103.939, 116.779, 123.68]))
    np.testing.assert_allclose(found.mean, CAFFE.mean, atol=1e-3)
    np.testing.assert_allclose(found.matrix, [[0, 0, 1], [0, 1, 0], [1, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(CAFFE.matrix, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_the_identity(images):
    assert input_map.fit(images, images).is_identity()
    assert InputMap().is_identity()
    assert not input_map.fit(images, images / 255).is_identity()
    assert not input_map.fit(images, images - 1).is_identity()
    assert not CAFFE.is_identity()


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images**2,
        lambda images: images - images.mean(axis=(1, 2, 3), keepdims=True),  # another mean for each image
        lambda images: images[:, ::-1],
        lambda images: images[:, :4],
        lambda images: images * np.float32("nan"),
        lambda images: images.mean(axis=3, keepdims=True) * np.ones(3, np.float32) + 1 - np.float32([0, 1, 2]),
    ],
)
def test_what_is_no_such_map(change, images):
    assert input_map.fit(images, change(images)) is None


def test_a_folded_kernel_gives_the_same(images):
    kernel = np.random.default_rng(1).normal(size=(1, 1, 3, 2)).astype(np.float32)
    expected = (images[..., ::-1] - np.float32(CAFFE.mean[::-1])) @ kernel[0, 0]
    np.testing.assert_allclose((images - np.float32(CAFFE.mean)) @ CAFFE.fold(kernel)[0, 0], expected, atol=1e-3)
