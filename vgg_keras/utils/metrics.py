"""Class scores -> loss and top-1 and top-5 error (arXiv:1409.1556, sect. 4)."""

import dataclasses

import numpy as np
import tensorflow as tf


def top_k_errors(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Tells which images are mistaken: 1 where the label is not the best class (row 0), not of the best five (row 1).

    Args:
        scores: (B, classes), logits or posteriors; of classes that tie the first counts as the better.
        labels: (B,) int32.

    Returns:
        (2, B) float32.
    """
    # Not in_top_k: it counts every class that ties, so a net that gives all classes one score would make no mistake.
    top_classes = tf.math.top_k(scores, min(5, scores.shape[-1])).indices
    hits = tf.cast(top_classes == labels[:, tf.newaxis], tf.float32)  # (B, 5)
    return 1.0 - tf.stack([hits[:, 0], tf.reduce_sum(hits, axis=1)])


def score_sums(scores: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sums loss and errors over a batch; sums of batches and replicas add up.

    Args:
        scores: (B, classes) float32, logits.
        labels: (B,) int32.
        weights: (B,) float32, 1 for an image, 0 for padding.

    Returns:
        (4,) float64: cross-entropy, top-1 mistakes, top-5 mistakes, images.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    per_image = [losses, *tf.unstack(top_k_errors(scores, labels)), tf.ones_like(losses)]
    # The padding's loss is not asked for; where() also keeps a NaN of it out.
    counted = tf.where(weights[tf.newaxis] > 0, tf.stack(per_image), 0.0)
    return tf.reduce_sum(tf.cast(counted, tf.float64), axis=1)


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean loss and errors of a split.

    Attributes:
        loss: mean cross-entropy, nats, without the weight penalty.
        top1_error: percent.
        top5_error: percent.
        num_images: how many images it is the mean of.
    """

    loss: float
    top1_error: float
    top5_error: float
    num_images: int

    @classmethod
    def from_sums(cls, sums) -> "Score":
        """Makes the means of the sums that `score_sums` returns."""
        loss, top1, top5, count = (float(value) for value in sums)
        return cls(loss / count, 100 * top1 / count, 100 * top5 / count, round(count))

    @classmethod
    def from_posteriors(cls, posteriors: np.ndarray, labels: np.ndarray) -> "Score":
        """Scores images by their posteriors: (N, classes) float32, (N,) int32."""
        of_label = posteriors[np.arange(len(labels)), labels].astype(np.float64)
        # A posterior may be so small that float32 has a zero for it.
        losses = -np.log(np.maximum(of_label, np.finfo(np.float32).tiny))
        top1, top5 = top_k_errors(posteriors, labels).numpy().sum(axis=1, dtype=np.float64)
        return cls.from_sums([losses.sum(), top1, top5, len(labels)])

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, top-1 error {self.top1_error:.2f}%, top-5 error {self.top5_error:.2f}%"
