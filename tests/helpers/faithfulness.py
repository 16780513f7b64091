"""Measures whether an explanation names the pixels on which a net decides, by taking them away and by giving them back.

Deletion and insertion as Petsiuk, Das and Saenko define them (RISE, arXiv:1806.07421).
"""

from collections.abc import Callable, Sequence

import numpy as np

_STEPS = 16


def deletion(posterior: Callable[[np.ndarray], float], photo: np.ndarray, order: np.ndarray, empty: Sequence[float]):
    """Returns the mean posterior while pixels are emptied in an order, the first ones first; the lower, the better.

    Args:
        posterior: function from a photo to the posterior of its class.
        photo: (H, W, 3).
        order: indices of the pixels, those that should matter most first.
        empty: RGB of an emptied pixel.
    """
    return _mean_posterior(posterior, photo, np.broadcast_to(np.array(empty), photo.shape), order)


def insertion(posterior: Callable[[np.ndarray], float], photo: np.ndarray, order: np.ndarray, empty: Sequence[float]):
    """Returns the mean posterior while pixels are put back into an empty photo; the higher, the better."""
    return _mean_posterior(posterior, np.broadcast_to(np.array(empty), photo.shape), photo, order)


def _mean_posterior(posterior, begin: np.ndarray, end: np.ndarray, order: np.ndarray) -> float:
    found = []
    for step in range(_STEPS + 1):
        mixed = begin.astype(np.uint8).reshape(-1, 3).copy()
        changed = order[: round(step * len(order) / _STEPS)]
        mixed[changed] = end.astype(np.uint8).reshape(-1, 3)[changed]
        found.append(posterior(mixed.reshape(begin.shape)))
    return float(np.mean(found))


def ranked(values: np.ndarray) -> np.ndarray:
    """Returns the indices of pixels in the order of their values, the highest first."""
    return np.argsort(-values, axis=None, kind="stable")
