"""Tests that images are mirrored as by TensorFlow's own op, so that runs of earlier versions are resumed alike."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.data import transforms


@pytest.mark.parametrize("inside", [False, True])
def test_the_same_images_are_mirrored_as_by_tensorflow(inside):
    image = tf.random.stateless_uniform((5, 6, 3), [1, 2])
    seeds = tf.stack([tf.range(50), tf.fill(50, 3)], axis=1)
    if inside:
        flipped = list(tf.data.Dataset.from_tensor_slices(seeds).map(lambda seed: transforms.random_flip(image, seed)))
    else:
        flipped = [transforms.random_flip(image, seed) for seed in seeds]
    for seed, received in zip(seeds, flipped, strict=True):
        np.testing.assert_array_equal(received, tf.image.stateless_random_flip_left_right(image, seed))
        np.testing.assert_array_equal(received, image[:, ::-1] if transforms.draw_flip(seed) else image)
