"""Defines what a net learns: classes, or the boxes of objects (arXiv:1409.1556, sect. 3.1 and app. A)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf

from vgg_keras.data import boxes
from vgg_keras.models.box_regression import boxes_of_classes
from vgg_keras.utils.metrics import Score, score_sums

# A box is right if its intersection over union with that of the object is above this number (app. A.1).
MIN_IOU = 0.5


class Objective(Protocol):
    """What a net learns.

    Attributes:
        error_name: the error in words.
    """

    error_name: str

    @property
    def tested_outputs(self) -> int | None:
        """Number of the net's first outputs that are validated and kept in the best model; None: all."""

    def losses(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the loss of each image, (B,) float32.

        Args:
            outputs: outputs of the net's last layer with weights, (B, n) float32.
            batch: the images' batch.
        """

    def sums(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        """Sums loss and errors over a batch; the sums of several batches or replicas can be added.

        Args:
            outputs: outputs of the net's last layer with weights, (B, n) float32.
            batch: the images' batch.
            weights: (B,) float32, 1 for an image, 0 for padding.

        Returns:
            (4,) float64: sums of the losses and of two errors, and the number of images, as `Score.from_sums` takes it.
        """

    def figures(self, score: Score) -> dict[str, float]:
        """Returns what the history holds of a score, by name; errors in percent."""

    def text(self, score: Score) -> str:
        """Returns loss and errors as text for people."""

    def guessing_loss(self) -> float:
        """Returns the loss of a net that has learned nothing; infinite if it is not known."""


@dataclasses.dataclass(frozen=True)
class Classification:
    """Learns the classes of images: the softmax cross-entropy (sect. 3.1).

    Attributes:
        num_classes: number of classes. A net may have further outputs, of which training makes small posteriors.
    """

    num_classes: int
    error_name = "top-1 error"

    @property
    def tested_outputs(self) -> int:
        """The number of classes."""
        return self.num_classes

    def losses(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the cross-entropies in nats; the batch holds "label": (B,) int32."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], outputs)

    def sums(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        """Returns the sums of `score_sums`: cross-entropies, top-1 and top-5 errors, images."""
        return score_sums(outputs, batch["label"], weights)

    def figures(self, score: Score) -> dict[str, float]:
        """Returns the loss, the top-1 and top-5 error, and the number of images."""
        return dataclasses.asdict(score)

    def text(self, score: Score) -> str:
        """Returns loss, top-1 and top-5 error as text for people."""
        return score.text(self.num_classes)

    def guessing_loss(self) -> float:
        """Returns ln(number of classes), the loss of equal posteriors."""
        return math.log(self.num_classes)


@dataclasses.dataclass(frozen=True)
class BoxRegression:
    """Learns the box of an image's object: the Euclidean loss (app. A.1).

    Attributes:
        kind: one of `architectures.BOX_REGRESSIONS`.
        num_classes: number of classes.
    """

    kind: str
    num_classes: int
    error_name = "localization error"
    tested_outputs = None

    def _boxes(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return boxes_of_classes(outputs, batch["label"], self.kind)

    def losses(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns half the squared distance of the predicted box, (centre x, centre y, width, height), to the true one.

        Args:
            outputs: outputs of the last layer.
            batch: "label": (B,) int32; "box": (B, 4) float32, (ymin, xmin, ymax, xmax) relative to the crop; all zeros
                if the image has no box: its loss is 0.
        """
        distances = self._boxes(outputs, batch) - boxes.to_center(batch["box"])
        return _has_box(batch) * tf.reduce_sum(tf.square(distances), axis=1) / 2  # as Caffe's, which the authors used

    def sums(self, outputs: tf.Tensor, batch: Mapping[str, tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        """Returns the sums of the losses, of the errors (an IoU of at most 0.5), of 1 - IoU, and of the images."""
        predicted = boxes.from_center(self._boxes(outputs, batch))
        overlaps = boxes.intersection_over_union(predicted, batch["box"])
        wrong = tf.cast(overlaps <= MIN_IOU, tf.float32)
        per_image = tf.stack([self.losses(outputs, batch), wrong, 1.0 - overlaps, tf.ones_like(overlaps)])
        counted = tf.where((weights * _has_box(batch))[tf.newaxis] > 0, per_image, 0.0)
        return tf.reduce_sum(tf.cast(counted, tf.float64), axis=1)

    def figures(self, score: Score) -> dict[str, float]:
        """Returns the loss, the localization error as the top-1 error, the mean IoU, and the number of images."""
        found = dataclasses.asdict(score)
        return found | {"mean_iou": 1 - found.pop("top5_error") / 100}  # of which `sums` sums up what 1 lacks

    def text(self, score: Score) -> str:
        """Returns loss, localization error and mean IoU as text for people."""
        overlap = self.figures(score)["mean_iou"]
        return f"loss {score.loss:.4f}, {self.error_name} {score.top1_error:.2f}%, mean IoU {overlap:.3f}"

    def guessing_loss(self) -> float:
        """Returns infinity: it depends on the boxes."""
        return math.inf


def _has_box(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Returns 1 for each image with a box, else 0: (B,) float32."""
    return tf.cast(tf.reduce_any(batch["box"] != 0, axis=1), tf.float32)
