"""Describes what a net does to the pixels before its first convolution: scale, order of channels, mean."""

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class InputMap:
    """The map matrix @ (RGB 0..255 - mean), applied to each pixel before the first convolution.

    Attributes:
        mean: mean of red, green and blue, 0..255.
        matrix: three rows, one for each channel that the convolution sees, with its factors of red, green and blue.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    matrix: tuple[tuple[float, ...], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    @classmethod
    def of(cls, mean: Iterable[float], std: Iterable[float] = (1.0, 1.0, 1.0), *, reverse: bool = False) -> "InputMap":
        """Returns the map (RGB - mean) / std.

        Args:
            mean: mean of red, green and blue, 0..255.
            std: divisor of red, green and blue, on the same scale.
            reverse: whether the channels are then put in the order blue, green, red.
        """
        matrix = np.diag([1 / float(one) for one in std])
        rows = [tuple(map(float, row)) for row in (matrix[::-1] if reverse else matrix)]
        return cls(tuple(map(float, mean)), tuple(rows))

    def is_identity(self) -> bool:
        """Returns whether the convolution sees RGB 0..255 as it is, up to rounding."""
        return bool(np.allclose(self.matrix, np.eye(3), atol=1e-5) and np.allclose(self.mean, 0, atol=1e-3))

    def is_scaled(self) -> bool:
        """Returns whether the map does more than subtract `mean`."""
        return not np.array_equal(self.matrix, np.eye(3))

    def fold(self, kernel: np.ndarray) -> np.ndarray:
        """Folds the matrix into the first convolution's kernel, so that only `mean` is left to subtract.

        Args:
            kernel: (k, k, 3, out), for the channels that this map gives.

        Returns:
            (k, k, 3, out) float32, for RGB from which the mean was subtracted.
        """
        return np.einsum("yxco,cd->yxdo", kernel, np.asarray(self.matrix)).astype(np.float32)

    def unfold(self, kernel: np.ndarray, bias: np.ndarray, mean: Iterable[float]) -> tuple[np.ndarray, np.ndarray]:
        """Changes the first convolution so that after this map it gives what it gave for RGB - mean.

        At the border of the image, where a convolution pads with zeros, it gives that up to a colour of `self.mean` in
        the place of `mean` outside the image.

        Args:
            kernel: (k, k, 3, out), for RGB from which `mean` was subtracted.
            bias: (out,).
            mean: mean of red, green and blue, 0..255.

        Returns:
            The kernel and the bias, float32.
        """
        changed = np.einsum("yxco,cd->yxdo", kernel, np.linalg.inv(np.asarray(self.matrix)))
        difference = np.asarray(self.mean) - np.asarray(tuple(mean))
        shifted = bias + np.einsum("yxco,c->o", kernel, difference)
        return changed.astype(np.float32), shifted.astype(np.float32)


def fit(images: np.ndarray, seen: np.ndarray) -> InputMap | None:
    """Finds the map between images and what a convolution saw of them.

    Args:
        images: (B, H, W, 3), RGB 0..255; noise of several colours, which finds out a map that depends on the image.
        seen: the convolution's input.

    Returns:
        The map; None if the input is not a linear function of each pixel alone, the same for all pixels.
    """
    if seen.shape != images.shape or not np.isfinite(seen).all():
        return None
    pixels = np.reshape(images, (-1, 3)).astype(float)
    columns = np.hstack([pixels, np.ones((len(pixels), 1))])
    values = np.reshape(seen, (-1, 3)).astype(float)
    solution = np.linalg.lstsq(columns, values, rcond=None)[0]  # (4, 3)
    tolerance = 1e-4 * max(float(np.abs(values).max()), 1e-6)
    if np.abs(columns @ solution - values).max() > tolerance:
        return None
    matrix, offset = solution[:3].T, solution[3]
    mean: np.ndarray = np.linalg.lstsq(matrix, -offset, rcond=None)[0]
    # The convolution pads with zeros, so there has to be a colour that is mapped to zero.
    if np.abs(matrix @ mean + offset).max() > tolerance:
        return None
    levels: list[float] = (mean.round(5) + 0.0).tolist()  # without a negative zero
    return InputMap(tuple(levels), tuple(tuple(row.tolist()) for row in matrix))
