"""Predicts boxes at all positions of an image, and joins them (arXiv:1409.1556, app. A.2)."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import boxes
from vgg_keras.inference import box_merging
from vgg_keras.inference.protocol import CENTER_CROP, DENSE
from vgg_keras.models import fully_convolutional
from vgg_keras.models.architectures import PCR, TOTAL_STRIDE
from vgg_keras.models.preparation import SQUASH

# Values that describe a prediction: a box, and its score.
NUM_VALUES = boxes.SIZE + 1
# Is added to every score, so that boxes of which the classifier is sure that they are none can be averaged too.
_LEAST_SCORE = 1e-9


class PositionPredictor:
    """Predicts boxes at all positions of images, and scores them (app. A.2).

    Both nets are applied as fully convolutional ones. A crop of the localizer's input size has one position.

    Args:
        net: the localizer.
        kind: SCR or PCR.
        input_size: side of its crops in pixels.
        classifier: the classifier whose posteriors are the scores, of the same classes and the same input size; None:
            every score is 1.

    Raises:
        UserError: a net is no chain of layers.
    """

    def __init__(self, net: keras.Model, kind: str, input_size: int, classifier: keras.Model | None = None):
        self._kind, self._input_size = kind, input_size
        self._boxes = map_function(net)
        self._scores = map_function(classifier) if classifier else None

    def __call__(
        self, view: tf.Tensor, labels: np.ndarray, image_size: tf.Tensor, offset: tf.Tensor, *, flip: bool = False
    ) -> np.ndarray:
        """Predicts the boxes of objects of some classes.

        Args:
            view: (1, h, w, 3) float32, RGB 0..255: a resized image, or a crop of it.
            labels: (k,) int, the classes.
            image_size: (2,) int32, height and width of the resized image in pixels.
            offset: (2,) int32, (top, left) of the view in it in pixels, as `ViewSpec.place` gives both.
            flip: whether the boxes at the positions of the mirrored view follow, moved back to the image.

        Returns:
            (positions, k, 5) float32: (ymin, xmin, ymax, xmax) relative to the image, and the class's posterior.
        """
        found = [
            self._predict(view, labels, image_size, offset, mirrored=mirrored) for mirrored in (False, True)[: 1 + flip]
        ]
        return np.concatenate(found)

    def _predict(
        self, view: tf.Tensor, labels: np.ndarray, image_size: tf.Tensor, offset: tf.Tensor, *, mirrored: bool
    ) -> np.ndarray:
        # The positions are TOTAL_STRIDE pixels apart. What they leave of a side is cut off in equal parts at both ends:
        # of a side that has a single position, this is the middle, and not the beginning.
        size = tf.shape(view)[1:3]
        whole = size - size % TOTAL_STRIDE
        margin = (size - whole) // 2
        offset += margin
        view = tf.slice(view, [0, margin[0], margin[1], 0], [1, whole[0], whole[1], 3])
        view = tf.reverse(view, axis=[2]) if mirrored else view
        outputs = self._boxes(view)[0]
        rows, columns = outputs.shape[:2]
        centers = tf.reshape(outputs, (rows * columns, -1, boxes.SIZE))  # (positions, 1 or classes, 4)
        chosen = tf.gather(centers, labels if self._kind == PCR else np.zeros_like(labels), axis=1)
        tops, lefts = TOTAL_STRIDE * tf.range(rows), TOTAL_STRIDE * tf.range(columns)
        in_windows = boxes.from_center(chosen)
        if mirrored:
            lefts, in_windows = tf.shape(view)[2] - self._input_size - lefts, boxes.mirror(in_windows)
        grid = tf.stack(tf.meshgrid(tops, lefts, indexing="ij"), axis=-1)
        corners = offset + tf.reshape(grid, (-1, 1, 2))
        predicted = boxes.from_crop(in_windows, image_size, corners, self._input_size)
        scores = tf.ones(predicted.shape[:2])
        if self._scores:
            posteriors = tf.nn.softmax(self._scores(view)[0])
            scores = tf.gather(tf.reshape(posteriors, (rows * columns, -1)), labels, axis=1)
        return tf.concat([predicted, scores[..., tf.newaxis]], axis=-1).numpy()


def map_function(net: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the function from an image, (1, H, W, 3), to a net's outputs at all positions, (1, h, w, outputs).

    Raises:
        UserError: the net is no chain of layers.
    """
    converted = fully_convolutional.convert(net)
    # One trace serves images of all shapes.
    signature = [tf.TensorSpec((1, None, None, 3), tf.float32)]
    function = tf.function(lambda images: converted(images, training=False), signature, autograph=False)
    function.get_concrete_function()  # as in `DistributedPredictor`
    return function


def merge_boxes(predicted: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Merges the boxes of all positions, scales and localizers, and takes the best one of each class (app. A.2).

    Args:
        predicted: (positions, k, 5) float, what `PositionPredictor` returned for an image.
        image_size: height and width of the image in pixels.

    Returns:
        (k, 4) float64, (ymin, xmin, ymax, xmax) relative to the image, at whose border boxes are cut.
    """
    height, width = image_size
    # Isotropic units, in which the distances of OverFeat's measure are the same along both axes.
    unit = np.array([height, width, height, width]) / min(height, width)
    of_classes = np.moveaxis(predicted.astype(np.float64), 1, 0)
    best = [
        box_merging.merge(one[:, : boxes.SIZE] * unit, one[:, boxes.SIZE] + _LEAST_SCORE)[0][0] for one in of_classes
    ]
    return np.clip(np.stack(best) / unit, 0.0, 1.0)


def mean_boxes(predicted: np.ndarray, image_size: Sequence[int]) -> np.ndarray:
    """Averages the boxes of all scales and localizers, one position each; arguments and result as `merge_boxes`."""
    return np.clip(predicted[..., : boxes.SIZE].astype(np.float64).mean(axis=0), 0.0, 1.0)


# How the boxes at all positions, scales and of all localizers become one box of each class, by the method of a test.
JOIN = {DENSE: merge_boxes, CENTER_CROP: mean_boxes, SQUASH: mean_boxes}
