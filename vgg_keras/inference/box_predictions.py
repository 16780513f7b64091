"""Runs resumable localization over one split at one test scale (arXiv:1409.1556, app. A.2)."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.inference import views
from vgg_keras.inference.box_positions import NUM_VALUES, PositionPredictor
from vgg_keras.inference.protocol import DENSE
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models.architectures import TOTAL_STRIDE
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.teamwork import Team
from vgg_keras.utils.work_items import Items


@dataclasses.dataclass(frozen=True)
class PositionBoxes:
    """The boxes that a net predicts at the positions of each image of a split at one test scale.

    Attributes:
        values: (rows, k * 5) float32, a row for each position, one image after the other: for each of the image's k
            classes (ymin, xmin, ymax, xmax) relative to the image, and the score.
        ends: (N,) int, the row after the last one of each image.
        seconds: wall time in seconds.
    """

    values: np.ndarray
    ends: np.ndarray
    seconds: float

    def of_image(self, index: int) -> np.ndarray:
        """Returns the boxes and scores of an image: (positions, k, 5) float32."""
        at = rows_of(self.ends, index)
        rows = self.values[at.start : at.stop]
        return rows.reshape(len(rows), rows.shape[1] // NUM_VALUES, NUM_VALUES)


def rows_of(ends: np.ndarray, index: int) -> range:
    """Returns the rows of an image, given the row after the last one of each: (N,) int."""
    return range(int(ends[index - 1]) if index else 0, int(ends[index]))


def row_ends(split: BoxedSplit, spec: ViewSpec, *, flip: bool = False) -> np.ndarray:
    """Returns the row after the last position of each image: (N,) int. An image without a box has no rows.

    Args:
        split: the N images.
        spec: the view of each image.
        flip: whether each view is followed by its mirror image.
    """
    positions = np.ones(len(split.manifest), np.int64)
    if spec.method == DENSE:
        sizes = transforms.rescaled_size(split.manifest.sizes, spec.smallest_side).numpy()
        positions = np.prod(sizes // TOTAL_STRIDE - spec.crop_size // TOTAL_STRIDE + 1, axis=1, dtype=np.int64)
    return np.cumsum(np.where(split.has_box, positions * (1 + flip), 0))


def predict_boxes(
    path: Path,
    predictor: PositionPredictor,
    split: BoxedSplit,
    labels: np.ndarray,
    spec: ViewSpec,
    *,
    flip: bool,
    title: str,
    model_name: str,
    team: Team | None = None,
) -> PositionBoxes:
    """Predicts the boxes of all images with a box, with a progress bar; those that a file holds already, it does not.

    The images are shown one by one, so that a prediction does not depend on which others are still missing.

    Args:
        path: the `.npy` file that keeps the predictions, created if it is missing.
        predictor: the nets.
        split: the N images.
        labels: (N, k) int, the classes of whose objects the boxes are predicted on each image.
        spec: the view of each image; of one image in a batch.
        flip: whether each view is followed by its mirror image.
        title: text in front of the progress bar.
        model_name: name of the model in messages.
        team: the workers that share the images; None: this process has all of them.

    Raises:
        UserError: a record cannot be read, a prediction is not finite, memory ran out, or the file is damaged.
    """
    ends = row_ends(split, spec, flip=flip)
    predict = functools.partial(predictor, flip=flip)

    def compute(outputs: ResumableArray, wanted: np.ndarray, advance: Callable[[], None]) -> None:
        for batch in views.view_batches(split.manifest, wanted, spec):
            (index,) = batch["index"].numpy().tolist()
            predicted = _predict_image(predict, split, labels, spec, batch["image"], index, model_name)
            for row, values in zip(rows_of(ends, index), predicted, strict=True):
                outputs.store(row, values.reshape(-1))
            advance()

    weights = views.weights(split.manifest, spec)
    items = Items.of_rows(title, len(ends), weights=weights, wanted=split.has_box, ends=ends)
    outputs = (team or Team()).fill(path, labels.shape[1] * NUM_VALUES, items, compute)
    return PositionBoxes(outputs.values(), ends, outputs.seconds)


def _predict_image(
    predict: Callable[[tf.Tensor, np.ndarray, tf.Tensor, tf.Tensor], np.ndarray],
    split: BoxedSplit,
    labels: np.ndarray,
    spec: ViewSpec,
    view: tf.Tensor,
    index: int,
    model_name: str,
) -> np.ndarray:
    try:
        predicted = predict(view, labels[index], *spec.place(split.manifest.sizes[index]))
    except tf.errors.ResourceExhaustedError as error:
        image = f"image {index} {split.manifest.names[index]} at Q = {spec.smallest_side}"
        raise UserError(f"{model_name}: out of memory on {image}; give smaller --test_scales") from error
    if not np.isfinite(predicted).all():
        raise UserError(f"{model_name} gives outputs that are not numbers: its training diverged")
    return predicted
