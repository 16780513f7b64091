"""Tests loss and errors against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.utils.metrics import Score, errors_text, score_sums


def test_sums_of_three_images_and_padding():
    scores = tf.constant([[0.0, 0, 0, 0, 0, 9], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [math.nan] * 6])
    labels = tf.constant([5, 0, 5, 0])
    sums = score_sums(scores, labels, tf.constant([1.0, 1, 1, 0])).numpy()
    partition = math.log(sum(math.exp(k) for k in range(6)))
    loss = (math.log(5 + math.exp(9)) - 9) + (partition - 5) + (partition - 0)
    np.testing.assert_allclose(sums, [loss, 1, 1, 3], rtol=1e-6)


def test_a_net_that_gives_all_classes_one_score_is_not_right():
    sums = score_sums(tf.zeros((10, 10)), tf.range(10), tf.ones(10)).numpy()
    np.testing.assert_allclose(sums[1:], [9, 5, 10])  # ties go to the lower index


def test_fewer_than_five_classes():
    assert score_sums(tf.zeros((4, 3)), tf.constant([0, 1, 2, 2]), tf.ones(4)).numpy()[2] == 0


def test_score():
    score = Score.from_sums([10.0, 3, 1, 40])
    assert (score.loss, score.top1_error, score.top5_error, score.num_images) == (0.25, 7.5, 2.5, 40)
    assert score.text(num_classes=6) == "loss 0.2500, top-1 error 7.50%, top-5 error 2.50%"


def test_of_five_classes_no_top5_error_is_shown():
    assert Score(0.25, 7.5, 0.0, 40).text(num_classes=5) == "loss 0.2500, top-1 error 7.50%"
    assert errors_text(7.5, 0.0, num_classes=2) == "top-1 error 7.50%"


def test_nan_of_a_counted_image_shows():
    assert np.isnan(score_sums(tf.constant([[math.nan, 0.0]]), tf.constant([0]), tf.ones(1)).numpy()[0])


@pytest.mark.parametrize("dtype", [tf.float32])
def test_sums_are_float64(dtype):
    assert score_sums(tf.zeros((1, 2), dtype), tf.zeros(1, tf.int32), tf.ones(1)).dtype == tf.float64
