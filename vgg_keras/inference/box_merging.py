"""Merges the boxes that a net predicts at many positions, greedily, as OverFeat does (arXiv:1312.6229, sect. 4.3).

The winning entry of ILSVRC-2014's localization merges its boxes in this way (arXiv:1409.1556, app. A.1).
"""

import numpy as np

# Two boxes are merged if they match at least as well as this. Neither paper gives the number: at 0.5 two boxes of one
# size are merged if they are shifted by up to about a fifth of their side.
MAX_MISMATCH = 0.5


def _centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def mismatch(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Measures how badly a box matches others: 0 for the same box.

    It is the distance of the centres, in units of the mean side of the two, plus the part of their union that they do
    not share. OverFeat's text adds the area that they do share, by which disjoint boxes would match best.

    Args:
        box: (4,) float, (ymin, xmin, ymax, xmax) in pixels, or in any unit that is the same along both axes.
        others: (n, 4) float.

    Returns:
        (n,) float.
    """
    sides = np.maximum(box[2:] - box[:2], 0), np.maximum(others[:, 2:] - others[:, :2], 0)
    areas = sides[0].prod(), sides[1].prod(axis=1)
    shared = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0).prod(axis=1)
    union = np.maximum(areas[0] + areas[1] - shared, np.finfo(float).tiny)
    mean_side = np.maximum((np.sqrt(areas[0]) + np.sqrt(areas[1])) / 2, np.finfo(float).tiny)
    distance = np.linalg.norm(_centers(box) - _centers(others), axis=1)
    return distance / mean_side + 1 - shared / union


def merge(boxes: np.ndarray, scores: np.ndarray, max_mismatch: float = MAX_MISMATCH) -> tuple[np.ndarray, np.ndarray]:
    """Merges boxes of one class: again and again the two that match best, until none match well enough.

    Args:
        boxes: (n, 4) float, (ymin, xmin, ymax, xmax) in a unit that is the same along both axes; n >= 1.
        scores: (n,) float, above 0: the class scores at the positions that predicted them.
        max_mismatch: largest `mismatch` at which two boxes are merged.

    Returns:
        The merged boxes, (m, 4), each the mean of its boxes, weighted by their scores; and their scores, (m,), the sums
        of those of their boxes; the highest score first.
    """
    boxes, scores = boxes.astype(np.float64), scores.astype(np.float64)
    count = len(boxes)
    table = np.full((count, count), np.inf)
    for index in range(count):
        table[index, :index] = table[:index, index] = mismatch(boxes[index], boxes[:index])
    alive = np.ones(count, bool)
    while alive.sum() > 1:
        first, second = sorted(np.unravel_index(np.argmin(table), table.shape))
        if table[first, second] > max_mismatch:
            break
        weights = scores[[first, second]]
        boxes[first] = weights @ boxes[[first, second]] / weights.sum()
        scores[first] += scores[second]
        alive[second] = False
        table[second] = table[:, second] = np.inf
        others = alive.copy()
        others[first] = False
        table[first, others] = table[others, first] = mismatch(boxes[first], boxes[others])
    order = np.argsort(-scores[alive], kind="stable")
    return boxes[alive][order], scores[alive][order]
