"""Tests the grids of images and filters."""

import numpy as np

from vgg_keras.training import pictures


def test_a_grid_of_three_images():
    images = np.stack([np.full((2, 3, 3), level, np.uint8) for level in (10, 20, 30)])
    grid = pictures.image_grid(images, gap=1)
    assert grid.shape == (5, 7, 3)
    assert grid[..., 0].tolist() == [
        [10, 10, 10, 255, 20, 20, 20],
        [10, 10, 10, 255, 20, 20, 20],
        [255] * 7,
        [30, 30, 30, 255, 255, 255, 255],
        [30, 30, 30, 255, 255, 255, 255],
    ]


def test_grids_are_about_square():
    shapes = {
        count: pictures.image_grid(np.zeros((count, 1, 1, 3), np.uint8), gap=0).shape[:2] for count in range(1, 65)
    }
    assert [shapes[count] for count in (1, 2, 4, 5, 8, 16, 64)] == [
        (1, 1),
        (1, 2),
        (2, 2),
        (2, 3),
        (3, 3),
        (4, 4),
        (8, 8),
    ]


def test_training_images_are_clipped_and_rounded():
    image = np.array([[[-7.0, 0.4, 0.6], [254.6, 255.2, 270.0]]], np.float32)
    assert pictures.training_image_grid(image[np.newaxis]).tolist() == [[[0, 0, 1], [255, 255, 255]]]


def test_each_filter_is_scaled_by_itself():
    kernel = np.zeros((1, 2, 3, 2), np.float32)
    # The lowest weight is -1, the highest 1: 0 is in the middle, 0.2 at 0.6 of 255.
    kernel[0, :, :, 0] = [[-1, 0, 1], [0.2, 0, 0]]
    kernel[..., 1] = 5.0  # constant
    grid = pictures.filter_grid(kernel)
    # Two filters of 1x2 weights, each weight a square of 12 pixels, and a gap of 6.
    assert grid.shape == (12, 24 + 6 + 24, 3)
    assert (grid[:, :12] == [0, 128, 255]).all()
    assert (grid[:, 12:24] == [153, 128, 128]).all()
    assert (grid[:, 24:30] == 255).all()
    assert (grid[:, 30:] == 0).all()
