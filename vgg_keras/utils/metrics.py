"""Computes loss, top-1 error and top-5 error from class scores (arXiv:1409.1556, sect. 4)."""

import dataclasses

import numpy as np
import tensorflow as tf

from vgg_keras.utils.display import TOP_K, errors_text


def top_k_errors(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Marks the images that are classified wrongly.

    Args:
        scores: (B, classes), logits or posteriors; among classes with equal scores the first one ranks highest.
        labels: (B,) int32, class indices.

    Returns:
        (2, B) float32; row 0 is 1 if the label is not the best class, row 1 if it is not among the five best, else 0.
    """
    # in_top_k would not do: it counts all tied classes as hits, so a net with equal scores for all makes no mistake.
    top_classes = tf.math.top_k(scores, min(TOP_K, scores.shape[-1])).indices
    hits = tf.cast(top_classes == labels[:, tf.newaxis], tf.float32)  # (B, 5)
    return 1.0 - tf.stack([hits[:, 0], tf.reduce_sum(hits, axis=1)])


def score_sums(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sums loss and errors over a batch; the sums of several batches or replicas can be added.

    Args:
        scores: (B, classes) float32, logits.
        labels: (B,) int32, class indices.
        weights: (B,) float32, 1 for an image, 0 for padding.

    Returns:
        (4,) float64: sum of the cross-entropies in nats, number of top-1 errors, of top-5 errors, and of images.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    per_image = [losses, *tf.unstack(top_k_errors(scores, labels)), tf.ones_like(losses)]
    # Padding does not count. where() rather than a product: 0 * NaN would be NaN.
    counted = tf.where(weights[tf.newaxis] > 0, tf.stack(per_image), 0.0)
    return tf.reduce_sum(tf.cast(counted, tf.float64), axis=1)


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean loss and errors of a set of images.

    Attributes:
        loss: mean cross-entropy in nats, without the weight penalty.
        top1_error: top-1 error in percent.
        top5_error: top-5 error in percent.
        num_images: number of images.
    """

    loss: float
    top1_error: float
    top5_error: float
    num_images: int

    @classmethod
    def from_sums(cls, sums) -> "Score":
        """Returns the means of sums that `score_sums` returned: (4,), of at least one image."""
        loss, top1, top5, count = (float(value) for value in sums)
        return cls(loss / count, 100 * top1 / count, 100 * top5 / count, round(count))

    @classmethod
    def from_posteriors(cls, posteriors: np.ndarray, labels: np.ndarray) -> "Score":
        """Scores posteriors, (N, classes) float32, against labels, (N,) int32."""
        label_posteriors = posteriors[np.arange(len(labels)), labels].astype(np.float64)
        # A very small posterior is zero in float32, and its loss would be infinite.
        losses = -np.log(np.maximum(label_posteriors, np.finfo(np.float32).tiny))
        top1, top5 = top_k_errors(posteriors, labels).numpy().sum(axis=1, dtype=np.float64)
        return cls.from_sums([losses.sum(), top1, top5, len(labels)])

    def text(self, num_classes: int) -> str:
        """Returns loss and errors as text for people; see `errors_text`."""
        return f"loss {self.loss:.4f}, {errors_text(self.top1_error, self.top5_error, num_classes)}"
