"""Tests which photos of a request are put into the same batch, and that their outputs keep the order of the request."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.serving.photo_batches import predict_in_batches


def predicted(sizes, *, batch_pixels, num_views=1):
    """Returns the outputs of photos whose pixels are their index, and the indices and shapes of each batch."""
    batches = []

    def load(indices):
        height, width = tf.unstack(tf.gather(sizes, indices[0]))
        shape = tf.stack([tf.size(indices), num_views, height, width, 3])
        views = tf.broadcast_to(tf.cast(tf.reshape(indices, (-1, 1, 1, 1, 1)), tf.float32), shape)
        tf.py_function(lambda *seen: batches.append([one.numpy().tolist() for one in seen]), [indices, shape], [])
        return views

    def predict(views):
        return tf.reduce_mean(views, axis=(1, 2, 3))[:, :2] * [1.0, 10.0]

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.int32)])
    def run(sizes):
        return predict_in_batches(load, predict, sizes, num_views=num_views, width=2, batch_pixels=batch_pixels)

    sizes = tf.constant(sizes, tf.int32, shape=(len(sizes), 2))
    outputs = run(sizes).numpy()
    expected = np.arange(len(sizes))[:, np.newaxis] * np.array([1, 10])
    np.testing.assert_array_equal(outputs, expected)
    return batches


def test_photos_of_equal_size_are_in_batches_of_so_many_pixels():
    sizes = [(4, 6), (6, 4), (4, 6), (9, 9), (4, 6), (6, 4), (4, 6)]
    # 3 photos of 24 pixels are 72; the photo of 81 has more, and is alone.
    assert predicted(sizes, batch_pixels=72) == [
        [[0, 2, 4], [3, 1, 4, 6, 3]],
        [[6], [1, 1, 4, 6, 3]],
        [[1, 5], [2, 1, 6, 4, 3]],
        [[3], [1, 1, 9, 9, 3]],
    ]
    # The views of a photo are together.
    assert [indices for indices, _ in predicted(sizes, batch_pixels=72, num_views=2)] == [
        *([index] for index in (0, 2, 4, 6, 1, 5, 3))
    ]
    assert [indices for indices, _ in predicted([(4, 6)] * 3, batch_pixels=1)] == [[0], [1], [2]]


@pytest.mark.parametrize("sizes", [[], [(5, 5)]])
def test_no_photo_and_one(sizes):
    assert len(predicted(sizes, batch_pixels=100)) == len(sizes)
