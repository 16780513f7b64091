"""Composes pictures of a run for TensorBoard: grids of training images and of filters, as NumPy arrays."""

import math

import numpy as np

# Side in pixels that a weight of a filter is enlarged to.
_WEIGHT_SIDE = 12


def image_grid(images: np.ndarray, gap: int = 2) -> np.ndarray:
    """Puts images side by side, row by row, into a grid that is about as wide as high.

    Args:
        images: (N, h, w, 3) uint8, at least one.
        gap: distance between neighbouring images in pixels; the gaps and the places that stay empty are white.

    Returns:
        (H, W, 3) uint8.
    """
    count, height, width, _ = images.shape
    columns = math.isqrt(count - 1) + 1
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def rounded(images: np.ndarray) -> np.ndarray:
    """Returns images as the net sees them as pictures: (N, S, S, 3) float32 -> uint8, rounded and clipped to 0..255."""
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def training_image_grid(images: np.ndarray) -> np.ndarray:
    """Returns a grid of images as the net sees them: (N, S, S, 3) float32 -> (H, W, 3) uint8, clipped to 0..255."""
    return image_grid(rounded(images))


def filter_pictures(kernel: np.ndarray) -> np.ndarray:
    """Returns the filters of a first convolution as pictures, each weight a pixel of its red, green and blue.

    Each filter is scaled so that its lowest weight is 0 and its highest 255; a constant filter is black.

    Args:
        kernel: (h, w, 3, filters) float, the convolution's kernel.

    Returns:
        (filters, h, w, 3) uint8.
    """
    filters = np.moveaxis(kernel, -1, 0)
    low, high = (extreme(filters, axis=(1, 2, 3), keepdims=True) for extreme in (np.min, np.max))
    return np.rint(255 * (filters - low) / np.where(high > low, high - low, 1)).astype(np.uint8)


def filter_grid(kernel: np.ndarray) -> np.ndarray:
    """Returns a grid of the enlarged `filter_pictures` of a first convolution.

    Args:
        kernel: (h, w, 3, filters) float, the convolution's kernel.

    Returns:
        (H, W, 3) uint8.
    """
    enlarged = filter_pictures(kernel).repeat(_WEIGHT_SIDE, axis=1).repeat(_WEIGHT_SIDE, axis=2)
    return image_grid(enlarged, gap=_WEIGHT_SIDE // 2)
