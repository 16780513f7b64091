"""Merges boxes as OverFeat's definition says, without tables, for comparison."""

import itertools

import numpy as np


def plain_merge(boxes, scores, limit):
    """Merges as the definition says, without tables."""
    found = [(list(map(float, box)), float(score)) for box, score in zip(boxes, scores, strict=True)]
    while len(found) > 1:
        pairs = itertools.combinations(range(len(found)), 2)
        best = min(pairs, key=lambda pair: plain_mismatch(found[pair[0]][0], found[pair[1]][0]))
        (first, weight), (second, other) = found[best[0]], found[best[1]]
        if plain_mismatch(first, second) > limit:
            break
        mean = [(weight * a + other * b) / (weight + other) for a, b in zip(first, second, strict=True)]
        found = [one for index, one in enumerate(found) if index not in best] + [(mean, weight + other)]
    return sorted(found, key=lambda one: -one[1])


def plain_mismatch(a, b):
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    distance = np.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)
    mean_side = (areas[0] ** 0.5 + areas[1] ** 0.5) / 2
    return distance / mean_side + 1 - height * width / (sum(areas) - height * width)
