"""Runs a net on the photos of a request inside the graph, those of equal size in the same batches."""

from collections.abc import Callable

import tensorflow as tf

# Number of pixels in a batch: as many as in 16 of the paper's crops, or those of one photo if it has more. A single
# photo may have four times as many (`views.ALWAYS_ALLOWED_PIXELS`): a batch takes no memory that it could not take.
BATCH_PIXELS = 16 * 224**2


def predict_in_batches(
    load: Callable[[tf.Tensor], tf.Tensor],
    predict: Callable[[tf.Tensor], tf.Tensor],
    sizes: tf.Tensor,
    *,
    num_views: int,
    width: int,
    batch_pixels: int = BATCH_PIXELS,
) -> tf.Tensor:
    """Returns a net's outputs for each of B photos, which are loaded one batch after the other.

    Args:
        load: function that returns the views of the photos of some indices, which have the same size: (n,) int32 ->
            (n, num_views, h, w, 3) float32.
        predict: function from these to the outputs: (n, width) float32.
        sizes: (B, 2) int32, height and width of each photo's views in pixels.
        num_views: number of views of a photo.
        width: number of outputs.
        batch_pixels: number of pixels that the views in a batch of several photos may have.

    Returns:
        (B, width) float32, in the order of the photos.
    """
    key = tf.cast(sizes[:, 0], tf.int64) * tf.int32.max + tf.cast(sizes[:, 1], tf.int64)
    order = tf.argsort(key, stable=True)
    _, group, counts = tf.unique_with_counts(tf.gather(key, order))
    ends = tf.gather(tf.cumsum(counts), group)  # where the photos of the same size end
    most = tf.maximum(batch_pixels // (num_views * tf.reduce_prod(tf.cast(sizes, tf.int64), axis=1)), 1)
    most = tf.cast(tf.gather(most, order), tf.int32)
    total = tf.size(order)
    rows = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=(None, width))

    def step(number: tf.Tensor, start: tf.Tensor, rows: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        stop = tf.minimum(ends[start], start + most[start])
        outputs = tf.ensure_shape(predict(load(order[start:stop])), (None, width))
        return number + 1, stop, rows.write(number, outputs)

    # One batch at a time: the ops of a batch already use all cores, and several would take their memory together.
    zero = tf.constant(0)
    *_, rows = tf.while_loop(lambda number, start, rows: start < total, step, (zero, zero, rows), parallel_iterations=1)
    return tf.gather(rows.concat(), tf.argsort(order))
