"""Computes which parts of a photo speak for a class, where the net sees whole photos at several scales.

What is explained is the dense test (arXiv:1409.1556, sect. 3.2): the score of a class is the mean of its scores over
the positions of the class-score map, and the explanations at all test scales and of mirror images are averaged.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.inference.posteriors import average_score_map
from vgg_keras.inference.protocol import EXPLANATIONS, GRAD_CAM, OCCLUSION, SCORES
from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.errors import UserError, did_you_mean

# Pixels of the images that are computed at a time: 16 images of 256x256.
_PIXELS_AT_A_TIME = 16 * 256 * 256
# Points on the way from the empty image to the photo at which gradients are taken.
_STEPS = 32
# Side of the occluding square, as a part of the image's smaller side; it moves by half of it.
_SQUARE = 1 / 8


@dataclasses.dataclass(frozen=True)
class Explainer:
    """Explains the scores of a net on photos of any size.

    Attributes:
        net: the model as a fully convolutional net (result of `fully_convolutional.convert`).
        test_scales: test scales Q in pixels.
        flip: whether mirror images are averaged in.
        empty: RGB 0..255 of what shows the net nothing: the mean that it subtracts.
    """

    net: keras.Model
    test_scales: Sequence[int]
    flip: bool
    empty: Sequence[float]

    def __call__(self, photo: np.ndarray, label: int, method: str = GRAD_CAM, layer: str = "") -> np.ndarray:
        """Computes how much each pixel of a photo speaks for a class.

        Args:
            photo: (H, W, 3), RGB 0..255.
            label: index of the class.
            method: one of `protocol.EXPLANATIONS`: see `grad_cam`, `occlusion` and `integrated_gradients`.
            layer: for GRAD_CAM: name of a layer before the FC layers; "": the last one before the last pooling.

        Returns:
            (H, W) float32; the more, the more the pixel speaks for the class; below 0 where it speaks against it, which
            GRAD_CAM does not tell.

        Raises:
            UserError: there is no such method or layer.
        """
        if method not in EXPLANATIONS:
            hint = did_you_mean(method, EXPLANATIONS)
            raise UserError(f"method={method!r} must be one of {', '.join(EXPLANATIONS)}{hint}")
        if layer and method != GRAD_CAM:
            raise UserError(f"layer={layer!r} is for method={GRAD_CAM}; leave it out for {method}")
        found = []
        for seen, mirrored in self._views(photo):
            values = self._explain(seen, label, method, layer)
            resized = tf.image.resize(values[..., np.newaxis], photo.shape[:2])[..., 0].numpy()
            found.append(resized[:, ::-1] if mirrored else resized)
        return np.asarray(np.mean(found, axis=0, dtype=np.float32))

    def _views(self, photo: np.ndarray) -> Iterator[tuple[tf.Tensor, bool]]:
        """Yields what the net is shown of a photo, (h, w, 3) float32, and whether it is mirrored."""
        for side in self.test_scales:
            whole = transforms.rescale(photo, side)
            yield whole, False
            if self.flip:
                yield tf.reverse(whole, axis=[1]), True

    def _explain(self, image: tf.Tensor, label: int, method: str, layer: str) -> np.ndarray:
        if method == GRAD_CAM:
            return grad_cam(self.net, image, label, layer)
        if method == OCCLUSION:
            return occlusion(self.net, image, label, self.empty)
        return integrated_gradients(self.net, image, label, self.empty)


def grad_cam(net: keras.Model, image: tf.Tensor, label: int, layer: str = "") -> np.ndarray:
    """Weights a layer's channels by the gradients of a class's score (Grad-CAM, Selvaraju et al., arXiv:1610.02391).

    A channel's weight is the sum of the gradients over its positions, and not their mean, so that the maps of one photo
    at several scales can be averaged.

    Args:
        net: a fully convolutional net, from images to a map of scores.
        image: (H, W, 3) float32, RGB 0..255.
        label: index of the class.
        layer: name of a layer before the FC layers; "": the last one before the last pooling.

    Returns:
        (H, W) float32, at least 0: the weighted sum where it is positive, enlarged to the image.

    Raises:
        UserError: there is no such layer.
    """
    explained = _explained_layer(net, layer)
    both = keras.Model(net.inputs, [explained.output, net.output])
    with tf.GradientTape() as tape:
        batch = image[tf.newaxis]
        tape.watch(batch)  # so that the layer's outputs are recorded, even if no weight is trainable
        channels, score_map = both(batch, training=False)
        score = tf.reduce_mean(tf.cast(score_map, tf.float32)[..., label])
    weights = tf.reduce_sum(tape.gradient(score, channels), axis=(1, 2), keepdims=True)
    coarse = tf.nn.relu(tf.reduce_sum(tf.cast(weights * channels, tf.float32), axis=-1, keepdims=True))[0]
    # What pooling left over at the lower and right borders belongs to the last position.
    stride, size = _stride(net, explained), image.shape[:2]
    enlarged = tf.image.resize(coarse, [stride * side for side in coarse.shape[:2]])[..., 0].numpy()
    left_over = [(0, max(0, whole - part)) for whole, part in zip(size, enlarged.shape, strict=True)]
    return np.pad(enlarged, left_over, mode="edge")[: size[0], : size[1]]


def _explained_layer(net: keras.Model, name: str) -> keras.layers.Layer:
    """Returns the layer of a name, or, of "", the last one before the last pooling.

    Raises:
        UserError: the net has no such layer, or it is no convolution or pooling before the FC layers.
    """
    pooling = [index for index, layer in enumerate(net.layers) if isinstance(layer, keras.layers.MaxPooling2D)]
    # The converted FC layers are the convolutions after the last pooling.
    candidates = net.layers[1 : pooling[-1] + 1] if pooling else net.layers[1:-1]
    if not name:
        return net.layers[pooling[-1] - 1] if pooling else candidates[-1]
    names = [layer.name for layer in candidates]
    if name not in names:
        raise UserError(
            f"layer={name!r} is no layer before the FC layers, which are {', '.join(names)}{did_you_mean(name, names)}"
        )
    return candidates[names.index(name)]


def _stride(net: keras.Model, last: keras.layers.Layer) -> int:
    """Returns the distance in pixels of the image between two positions of a layer's map."""
    layers = net.layers[: net.layers.index(last) + 1]
    return math.prod(layer.strides[0] for layer in layers if hasattr(layer, "strides"))


def occlusion(net: keras.Model, image: tf.Tensor, label: int, empty: Sequence[float]) -> np.ndarray:
    """Computes how far the posterior of a class falls where a square hides the image (Zeiler and Fergus, 1311.2901).

    The square is an eighth of the image's smaller side wide, and moves by half of its width.

    Args:
        net: a fully convolutional net, from images to a map of scores.
        image: (H, W, 3) float32, RGB 0..255.
        label: index of the class.
        empty: RGB of the square.

    Returns:
        (H, W) float32, -1..1: of each pixel, the mean over the squares that hide it.
    """
    height, width = image.shape[:2]
    side = max(2, round(_SQUARE * min(height, width)))
    corners = list(itertools.product(*(_starts(length, side) for length in (height, width))))

    def hidden(corner: tuple[int, ...]) -> np.ndarray:
        copy = image.numpy()
        copy[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = empty
        return copy

    whole = _posteriors(net, [image.numpy()], label)[0]
    falls, times = np.zeros((2, height, width), np.float32)
    for (top, left), posterior in zip(corners, _posteriors(net, map(hidden, corners), label), strict=True):
        falls[top : top + side, left : left + side] += whole - posterior
        times[top : top + side, left : left + side] += 1
    return falls / times


def _starts(length: int, side: int) -> list[int]:
    """Returns where squares of a side begin on an axis, so that they cover it and overlap by half or more."""
    count = ceil_divide(length - side, side // 2) + 1
    return np.round(np.linspace(0, length - side, count)).astype(int).tolist()


def _posteriors(net: keras.Model, images: Iterable[np.ndarray], label: int) -> list[float]:
    """Returns the posterior of a class on each image; the images have the same size."""
    found: list[float] = []
    for batch in _batches(images):
        score_map = net(batch, training=False)
        found += average_score_map(score_map, SCORES)[:, label].numpy().tolist()
    return found


def _batches(images: Iterable[np.ndarray]) -> Iterator[tf.Tensor]:
    """Yields batches of images that fit into memory: (B, H, W, 3) float32."""
    remaining = iter(images)
    for first in remaining:
        count = max(1, _PIXELS_AT_A_TIME // (first.shape[0] * first.shape[1]))
        yield tf.constant(np.stack([first, *itertools.islice(remaining, count - 1)]), tf.float32)


def integrated_gradients(net: keras.Model, image: tf.Tensor, label: int, empty: Sequence[float]) -> np.ndarray:
    """Shares out the score of a class over the pixels (integrated gradients, Sundararajan et al., arXiv:1703.01365).

    Args:
        net: a fully convolutional net, from images to a map of scores.
        image: (H, W, 3) float32, RGB 0..255.
        label: index of the class.
        empty: RGB of the image with which the way to the photo begins.

    Returns:
        (H, W) float32, summed over the colours, whose mean over the pixels is the difference between the scores of the
        photo and of the empty image, up to the error of an integral of 32 points.
    """
    begin = tf.broadcast_to(tf.constant(empty, tf.float32), image.shape)
    shares = (np.arange(_STEPS, dtype=np.float32) + 0.5) / _STEPS
    total = np.zeros(image.shape, np.float32)
    for batch in _batches((begin + share * (image - begin)).numpy() for share in shares):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            score_map = tf.cast(net(batch, training=False), tf.float32)
            score = tf.reduce_sum(tf.reduce_mean(score_map[..., label], axis=(1, 2)))
        total += tf.reduce_sum(tape.gradient(score, batch), axis=0).numpy()
    attributed = ((image - begin).numpy() * total / _STEPS).sum(axis=-1)
    return attributed * attributed.size
