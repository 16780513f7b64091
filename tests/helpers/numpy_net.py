"""Implements the nets and the rescaling of images a second time, in NumPy and Pillow alone, for comparison."""

import io

import numpy as np
from PIL import Image


def rescaled(image_bytes, smallest_side):
    """Decodes and rescales isotropically: (H, W, 3) float32, not rounded to whole levels."""
    image = Image.open(io.BytesIO(image_bytes)).convert("RGB")
    return _resized(image, tuple(int(side * smallest_side / min(image.size) + 0.5) for side in image.size))


def squashed(image_bytes, side):
    """Decodes and resizes to a square, whatever the shape: (side, side, 3) float32, not rounded to whole levels."""
    return _resized(Image.open(io.BytesIO(image_bytes)).convert("RGB"), (side, side))


def _resized(image, size):
    channels = [channel.convert("F").resize(size, Image.Resampling.BILINEAR) for channel in image.split()]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _convolution(values, kernel, bias, padding):
    size = kernel.shape[0]
    values = np.pad(values, [(padding, padding), (padding, padding), (0, 0)])
    height, width = values.shape[0] - size + 1, values.shape[1] - size + 1
    windows = np.lib.stride_tricks.sliding_window_view(values, (size, size), axis=(0, 1))  # (h, w, C, size, size)
    flat = windows.transpose(0, 1, 3, 4, 2).reshape(height * width, -1)
    return (flat @ kernel.reshape(-1, kernel.shape[-1]) + bias).reshape(height, width, -1)


def _max_pool(values):
    height, width = (side // 2 for side in values.shape[:2])
    return values[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).max(axis=(1, 3))


def _local_response_normalization(values):
    squares = np.pad(values**2, [(0, 0), (0, 0), (2, 2)])
    sums = sum(squares[..., shift : shift + values.shape[-1]] for shift in range(5))
    return values / (2 + 1e-4 * sums) ** 0.75


def score_map(weights, mean_rgb, image, last="fc8"):
    """Computes the class-score map of a net of the paper, or an earlier layer's map: (H, W, 3) 0..255 -> (h, w, C).

    Args:
        weights: {layer name: (kernel, bias)} in the order of the layers; for A-LRN also {"block1_lrn": ()}.
        mean_rgb: mean RGB that is subtracted, 0..255.
        image: the image.
        last: name of the layer whose outputs are returned.
    """
    values = (image - np.asarray(mean_rgb, np.float32)).astype(np.float32)
    block = 1
    for name, arrays in weights.items():
        if (name.startswith("block") and int(name[5]) != block) or name == "fc6":
            values = _max_pool(values)
            block += 1
        if name.endswith("lrn"):
            values = _local_response_normalization(values)
        elif name.startswith("block"):
            kernel, bias = arrays
            values = np.maximum(_convolution(values, kernel, bias, kernel.shape[0] // 2), 0)
        else:
            kernel, bias = arrays
            side = round((kernel.shape[0] / values.shape[-1]) ** 0.5) if name == "fc6" else 1
            values = _convolution(values, kernel.reshape(side, side, values.shape[-1], -1), bias, 0)
            values = values if name.startswith("fc8") else np.maximum(values, 0)
        if name == last:
            break
    return values


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def of_layers(model):
    """Returns the weights of a Keras model in the form that `score_map` takes."""
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    if "block1_lrn" not in [layer.name for layer in model.layers]:
        return weights
    (first, arrays), *rest = weights.items()
    return {first: arrays, "block1_lrn": (), **dict(rest)}
