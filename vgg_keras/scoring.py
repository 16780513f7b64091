"""Class scores -> loss and top-1 and top-5 error (arXiv:1409.1556, sect. 4)."""

import dataclasses

import tensorflow as tf


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
    # Not in_top_k: it counts every class that ties, so a net that gives all classes one score would make no mistake.
    top_classes = tf.math.top_k(scores, min(5, scores.shape[-1])).indices
    hits = tf.cast(top_classes == labels[:, tf.newaxis], tf.float32)  # (B, 5)
    per_image = [losses, 1.0 - hits[:, 0], 1.0 - tf.reduce_sum(hits, axis=1), tf.ones_like(losses)]
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

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}, top-1 error {self.top1_error:.2f}%, top-5 error {self.top5_error:.2f}%"
