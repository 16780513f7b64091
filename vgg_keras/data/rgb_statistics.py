"""Computes the mean and the covariance of the RGB values of a training split, in one exact streaming pass.

Subtracting the mean is the paper's only preprocessing (arXiv:1409.1556, sect. 2.1); the RGB shift of sect. 3.1 uses the
eigenvectors and eigenvalues of the covariance. The sums are integers, so that the result depends neither on the order
of the images nor on the number of workers.
"""

import dataclasses
from pathlib import Path

import numpy as np

from vgg_keras.utils import side_files
from vgg_keras.utils.structures import number, one_of, whole

FILE_NAME = "rgb_statistics.json"
_SCALE = "0..255"
# Pixels that are summed at a time; as floats they take half a megabyte, which a processor's cache holds.
_CHUNK = 1 << 14
_LARGEST_VARIANCE = 3 * 255**2 / 4  # that of a channel is at most (255 / 2)^2
_STRUCTURE = {
    "scale": one_of(_SCALE),
    "mean": (number(0, 255),) * 3,
    "eigenvectors": ((number(-1, 1),) * 3,) * 3,
    "eigenvalues": (number(0, _LARGEST_VARIANCE),) * 3,
    "num_pixels": whole(1),
}
_WAY_OUT = "remove it, and they are computed from the training split"


@dataclasses.dataclass(frozen=True)
class RgbMoments:
    """Integer sums over pixels, from which mean and covariance follow; `+` joins those of several images.

    Attributes:
        num_pixels: number of pixels.
        sums: (3,) ints, sum of each channel over the pixels, in levels 0..255.
        products: (3, 3) ints, sum of the product of each pair of channels over the pixels.
    """

    num_pixels: int = 0
    sums: tuple[int, ...] = (0,) * 3
    products: tuple[tuple[int, ...], ...] = ((0,) * 3,) * 3

    @classmethod
    def measure(cls, image: np.ndarray) -> "RgbMoments":
        """Returns the sums over the pixels of one image, (H, W, 3) uint8 RGB."""
        pixels = image.reshape(-1, 3)
        # Four rows: red, green, blue, and ones, so that one matrix product gives the products and the sums. Only the
        # first three are its left factor: NumPy gives a matrix times its own transpose to BLAS's `syrk`, which is
        # several times slower on so few rows.
        rows = np.ones((4, min(len(pixels), _CHUNK)))
        totals = np.zeros((3, 4), np.int64)
        for start in range(0, len(pixels), _CHUNK):
            chunk = pixels[start : start + _CHUNK]
            part = rows[:, : len(chunk)]
            part[:3] = chunk.T
            # The matrix product is fast for floats only, and exact all the same: every product of two levels, and every
            # sum of up to 2^14 of them, is an integer below 2^14 * 255^2 < 2^53, which float64 holds without rounding.
            # So the totals depend neither on the order in which BLAS adds nor on where the chunks end.
            totals += (part[:3] @ part.T).astype(np.int64)
        *products, sums = totals.T.tolist()
        return cls(len(pixels), tuple(sums), tuple(map(tuple, products)))

    def __add__(self, other: "RgbMoments") -> "RgbMoments":
        return RgbMoments(
            self.num_pixels + other.num_pixels,
            tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            tuple(
                tuple(a + b for a, b in zip(row, other_row, strict=True))
                for row, other_row in zip(self.products, other.products, strict=True)
            ),
        )


@dataclasses.dataclass(frozen=True)
class RgbStatistics:
    """Mean and principal components of a data set's RGB values, all on the 0..255 scale.

    Attributes:
        mean: (3,) float64, mean of each channel in levels.
        eigenvectors: (3, 3) float64, eigenvectors of the covariance as columns of length 1, in the eigenvalues' order.
        eigenvalues: (3,) float64, eigenvalues of the covariance in squared levels, largest first.
        num_pixels: number of pixels that the statistics were computed from.
    """

    mean: np.ndarray
    eigenvectors: np.ndarray
    eigenvalues: np.ndarray
    num_pixels: int

    @classmethod
    def from_moments(cls, moments: RgbMoments) -> "RgbStatistics":
        """Returns the mean and the eigendecomposition of the (population) covariance.

        Raises:
            ValueError: the moments are those of no pixel.
        """
        if not moments.num_pixels:
            raise ValueError("RGB statistics need at least one pixel, received none")
        n = moments.num_pixels
        # Integers up to the last division, since E[xy] - E[x]E[y] loses digits in floating point.
        covariance = np.array(
            [
                [(n * moments.products[i][j] - moments.sums[i] * moments.sums[j]) / n**2 for j in range(3)]
                for i in range(3)
            ]
        )
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]
        # An eigenvector's sign is arbitrary; making its largest entry positive gives the same file on every machine.
        largest = np.abs(eigenvectors).argmax(axis=0)
        eigenvectors = eigenvectors * np.sign(eigenvectors[largest, range(3)])
        return cls(np.array([s / n for s in moments.sums]), eigenvectors, np.maximum(eigenvalues, 0.0), n)

    def save(self, folder: Path) -> None:
        """Writes `rgb_statistics.json` into a folder.

        Raises:
            OSError: the file cannot be written.
        """
        content = {
            "scale": _SCALE,
            "mean": self.mean.tolist(),
            "eigenvectors": self.eigenvectors.tolist(),
            "eigenvalues": self.eigenvalues.tolist(),
            "num_pixels": self.num_pixels,
        }
        side_files.write_json(folder / FILE_NAME, content)

    @classmethod
    def load(cls, folder: Path) -> "RgbStatistics":
        """Reads `rgb_statistics.json` from a folder.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = folder / FILE_NAME
        content = side_files.read_json(path, _STRUCTURE, _WAY_OUT)
        mean, eigenvectors, eigenvalues = (
            np.array(content[key], np.float64) for key in ("mean", "eigenvectors", "eigenvalues")
        )
        if not np.allclose(eigenvectors.T @ eigenvectors, np.eye(3), atol=1e-6):
            raise side_files.damaged(path, "the columns of eigenvectors are no orthogonal unit vectors", _WAY_OUT)
        return cls(mean, eigenvectors, eigenvalues, content["num_pixels"])
