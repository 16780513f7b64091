"""Computes descriptors in NumPy and Pillow, for comparison."""

import numpy as np

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import MEAN_RGB


def expected_of_layers(model, images, scales, layers, power):
    """Computes the descriptors of several layers, averaged over scales: (N, D), rows of length 1."""
    weights = numpy_net.of_layers(model)
    rows = []
    for image in images:
        row = []
        for layer in layers:
            means = []
            for side in scales:
                whole = numpy_net.rescaled(image, side)
                maps = [numpy_net.score_map(weights, MEAN_RGB, view, layer) for view in (whole, whole[:, ::-1])]
                means.append(sum(one.mean(axis=(0, 1)) for one in maps) / 2)
            values = np.mean(means, axis=0)
            values = np.sqrt(values) if power == "sqrt" else values  # after a ReLU none is negative
            row.append(values / np.linalg.norm(values))
        rows.append(np.concatenate(row) / np.sqrt(len(layers)))
    return np.stack(rows)


def expected_descriptors(model, images, scales, combine, layer="fc7"):
    """Computes the descriptors of encoded images: (N, D), rows of length 1."""
    weights = numpy_net.of_layers(model)
    rows = []
    for image in images:
        of_scales = []
        for side in scales:
            whole = numpy_net.rescaled(image, side)
            maps = [numpy_net.score_map(weights, MEAN_RGB, view, layer) for view in (whole, whole[:, ::-1])]
            of_scales.append(sum(one.mean(axis=(0, 1)) for one in maps) / 2)
        if combine == "stack":
            row = np.concatenate([part / np.linalg.norm(part) for part in of_scales])
        else:
            row = np.mean(of_scales, axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.stack(rows)
