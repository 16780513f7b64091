"""Tests the geometry of boxes with numbers worked out by hand, and against NumPy, eagerly and inside `tf.data`."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.data import boxes

# A photo of 200x400 pixels, and an object from (20, 100) to (120, 300) on it.
BOX = [0.1, 0.25, 0.6, 0.75]


def in_both_ways(function, *inputs):
    """Returns what a function gives eagerly, after a check that it gives the same inside `tf.data`."""
    eager = function(*map(tf.constant, inputs)).numpy()
    (inside,) = tf.data.Dataset.from_tensors(tuple(map(tf.constant, inputs))).map(function)
    np.testing.assert_array_equal(eager, inside.numpy())
    return eager


def test_a_crop_moves_a_box():
    # Rescaled to 256x512: the object is from (25.6, 128) to (153.6, 384). The crop of 224 begins at (16, 100).
    moved = in_both_ways(lambda box, size, offset: boxes.to_crop(box, size, offset, 224), [BOX], [256, 512], [16, 100])
    np.testing.assert_allclose(moved, [[9.6 / 224, 28 / 224, 137.6 / 224, 284 / 224]], rtol=1e-5)
    assert moved[0, 3] > 1  # the object reaches past the crop


def test_from_crop_is_the_inverse():
    size, offset = tf.constant([256, 512]), tf.constant([16, 100])
    moved = boxes.to_crop(tf.constant([BOX]), size, offset, 224)
    np.testing.assert_allclose(boxes.from_crop(moved, size, offset, 224), [BOX], atol=1e-6)


def test_boxes_of_several_crops():
    # Crops of 100 pixels at (0, 0) and (50, 100) of a photo of 150x200 pixels.
    found = in_both_ways(
        lambda box, size, offset: boxes.from_crop(box, size, offset, 100),
        [[[0.0, 0.0, 1.0, 1.0]], [[0.5, 0.0, 1.0, 0.5]]],
        [150, 200],
        [[[0, 0]], [[50, 100]]],
    )
    np.testing.assert_allclose(found, [[[0, 0, 2 / 3, 0.5]], [[2 / 3, 0.5, 1, 0.75]]], rtol=1e-6)


def test_a_mirrored_box():
    np.testing.assert_allclose(in_both_ways(boxes.mirror, [[0.1, 0.2, 0.6, 0.5]]), [[0.1, 0.5, 0.6, 0.8]], atol=1e-6)


def test_a_mirrored_image_has_its_object_in_the_mirrored_box():
    image = np.zeros((20, 40, 3), np.float32)
    image[2:12, 8:20] = 1
    box = np.float32([2 / 20, 8 / 40, 12 / 20, 20 / 40])
    ymin, xmin, ymax, xmax = np.round(boxes.mirror(tf.constant(box)).numpy() * [20, 40, 20, 40]).astype(int)
    mirrored = image[:, ::-1]
    assert mirrored[ymin:ymax, xmin:xmax].all()
    assert mirrored.sum() == mirrored[ymin:ymax, xmin:xmax].sum()


def test_centres_and_back():
    centers = in_both_ways(boxes.to_center, [BOX])
    np.testing.assert_allclose(centers, [[0.5, 0.35, 0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(in_both_ways(boxes.from_center, centers), [BOX], atol=1e-6)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0.1, 0.25, 0.6, 0.75], 1.0),
        ([0.1, 0.5, 0.6, 1.0], 1 / 3),  # half of each in common: 0.125 of 0.375
        ([0.7, 0.0, 1.0, 0.2], 0.0),
        ([0.6, 0.25, 1.0, 0.75], 0.0),  # they touch
        ([0.6, 0.75, 0.1, 0.25], 0.0),  # no box: its sides are negative
    ],
)
def test_intersection_over_union(other, expected):
    found = in_both_ways(boxes.intersection_over_union, BOX, other)
    assert found == pytest.approx(expected, abs=1e-6)


def test_intersection_over_union_of_an_empty_box_is_no_nan():
    assert boxes.intersection_over_union(tf.zeros(4), tf.zeros(4)) == 0


def test_intersection_over_union_against_counted_pixels():
    generator = np.random.default_rng(0)
    corners = np.sort(generator.integers(0, 101, (50, 2, 2, 2)), axis=2)  # (pair, box, begin or end, axis)
    for first, second in corners:
        masks = [np.zeros((100, 100), bool), np.zeros((100, 100), bool)]
        for mask, (begin, end) in zip(masks, (first, second), strict=True):
            mask[begin[0] : end[0], begin[1] : end[1]] = True
        union = np.sum(masks[0] | masks[1])
        expected = np.sum(masks[0] & masks[1]) / union if union else 0.0
        relative = [tf.constant(corner.reshape(4) / 100, tf.float32) for corner in (first, second)]
        assert boxes.intersection_over_union(*relative).numpy() == pytest.approx(expected, abs=1e-4)


def test_the_most_visible_box():
    found = in_both_ways(boxes.most_visible, [[0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 3.0, 3.0], [0.8, 0.8, 1.0, 1.0]])
    np.testing.assert_allclose(found, [0.5, 0.5, 3.0, 3.0])  # shows 0.25, the others 0.16 and 0.04
    np.testing.assert_array_equal(boxes.most_visible(tf.zeros((0, 4))), np.zeros(4))
