"""Tests boxes at the positions of images with numbers worked out by hand."""

import logging

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.evaluation_data import save_net
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference.box_positions import PositionPredictor, map_function, mean_boxes, merge_boxes
from vgg_keras.inference.box_predictions import PositionBoxes, row_ends
from vgg_keras.inference.posteriors import DistributedPredictor
from vgg_keras.inference.score_maps import PosteriorMaps
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models import fully_convolutional


def test_the_best_box_of_each_class():
    near = [[0.0, 0.0, 0.5, 0.25, 0.6], [0.0, 0.0, 0.5, 0.25, 0.2]]
    far = [[0.5, 0.5, 1.0, 0.75, 0.7], [0.5, 0.5, 1.0, 0.75, 0.1]]
    # Of 100x200 pixels each box is a square. Of the first class two boxes of 0.6 outweigh one of 0.7.
    merged = merge_boxes(np.array([near, far, near]), (100, 200))
    np.testing.assert_allclose(merged, [[0, 0, 0.5, 0.25], [0, 0, 0.5, 0.25]], atol=1e-6)
    np.testing.assert_allclose(merge_boxes(np.array([near, far]), (100, 200))[0], [0.5, 0.5, 1, 0.75])


def test_boxes_shifted_by_a_sixth_of_their_side_are_merged_on_a_wide_photo():
    # 300x900 pixels: two squares of 300 pixels, 50 pixels apart: a distance of 1/6 of the side, and 2/7 of the
    # union are not shared, in all 0.45.
    predicted = np.array([[[0, 0, 1, 1 / 3, 0.5]], [[0, 50 / 900, 1, 350 / 900, 0.5]]])
    np.testing.assert_allclose(merge_boxes(predicted, (300, 900)), [[0, 25 / 900, 1, 325 / 900]], atol=1e-9)


def test_the_mean_of_boxes():
    predicted = np.array([[[0, 0, 1, 1, 1]], [[0.5, 0, 1, 0.5, 1]]])
    np.testing.assert_allclose(mean_boxes(predicted, (10, 10)), [[0.25, 0, 1, 0.75]])


def test_boxes_are_cut_at_the_border_of_the_photo():
    # The mean of two boxes that reach past it above and to the right is cut, and not the mean of what is left of them.
    predicted = np.array([[[-0.4, 0.5, 0.5, 1.1, 1]], [[0.2, 0.5, 0.5, 1.3, 1]]])
    np.testing.assert_allclose(mean_boxes(predicted, (10, 10)), [[0, 0.5, 0.5, 1]])
    np.testing.assert_allclose(merge_boxes(predicted[:1], (10, 20)), [[0, 0.5, 0.5, 1]])


@pytest.mark.parametrize("kind", ["scr", "pcr"])
def test_positions_of_a_net_whose_boxes_are_known(tmp_path, kind):
    net = save_net("A", tmp_path / "x", 32, "48", 1, ["a", "b", "c"], kind)
    last = net.get_layer("fc8_boxes")
    centers = np.array([[0.5, 0.5, 1, 1], [0.25, 0.5, 0.5, 1], [0.5, 1, 1, 1]])[: last.units // 4]
    last.set_weights([np.zeros_like(last.get_weights()[0]), centers.reshape(-1)])
    predictor = PositionPredictor(net, kind, 32)
    view = np.zeros((1, 64, 96, 3), np.float32)
    found = predictor(view, np.array([2, 0]), np.array([64, 96]), np.array([0, 0]))
    assert found.shape == (2 * 3, 2, 5)
    assert (found[..., 4] == 1).all()
    # The window of the last position is the lower right one, from (32, 64) to (64, 96); the box of class 0 is all of
    # it, that of class 2 lies half below it.
    np.testing.assert_allclose(found[-1, 1, :4], [32 / 64, 64 / 96, 1, 1], rtol=1e-6)
    lower = [48 / 64, 64 / 96, 80 / 64, 1] if kind == "pcr" else [32 / 64, 64 / 96, 1, 1]
    np.testing.assert_allclose(found[-1, 0, :4], lower, rtol=1e-6)
    # A crop of the middle, from (16, 32) to (48, 64).
    (crop,) = predictor(view[:, :32, :32], np.array([0]), np.array([64, 96]), np.array([16, 32]))
    np.testing.assert_allclose(crop[0, :4], [16 / 64, 32 / 96, 48 / 64, 64 / 96], rtol=1e-6)


def test_what_is_left_of_a_side_is_cut_off_at_both_ends(tmp_path):
    net = save_net("A", tmp_path / "x", 32, "48", 1, ["a", "b"], "scr")
    last = net.get_layer("fc8_boxes")
    last.set_weights([np.zeros_like(last.get_weights()[0]), np.array([0.5, 0.5, 1, 1], np.float32)])
    # Of 45x100 pixels the windows leave 13 and 4: the first one begins at (6, 2), and the box is all of it.
    found = PositionPredictor(net, "scr", 32)(np.zeros((1, 45, 100, 3), np.float32), np.array([0]), [45, 100], [0, 0])
    lefts = np.array([2, 34, 66])
    expected = np.stack([np.full(3, 6 / 45), lefts / 100, np.full(3, 38 / 45), (lefts + 32) / 100], axis=1)
    np.testing.assert_allclose(found[:, 0, :4], expected, atol=1e-6)


def test_positions_of_mirrored_views(tmp_path):
    net = save_net("A", tmp_path / "x", 32, "48", 1, ["a", "b"], "scr")
    last = net.get_layer("fc8_boxes")
    # A box in the left quarter of each window, and so of the mirrored window in its right quarter.
    last.set_weights([np.zeros_like(last.get_weights()[0]), np.array([0.125, 0.5, 0.25, 1], np.float32)])
    predictor = PositionPredictor(net, "scr", 32)
    view = np.zeros((1, 64, 96, 3), np.float32)
    found = predictor(view, np.array([0]), np.array([64, 96]), np.array([0, 0]), flip=True)
    assert found.shape == (2 * 2 * 3, 1, 5)
    np.testing.assert_allclose(found[0, 0, :4], [0, 0, 0.5, 8 / 96], atol=1e-6)
    # The first position of the mirrored view is the upper right window of the image, from column 64 to 96.
    np.testing.assert_allclose(found[6, 0, :4], [0, 88 / 96, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(found[8, 0, :4], [0, 24 / 96, 0.5, 32 / 96], atol=1e-6)
    crop = predictor(view[:, :32, :32], np.array([0]), np.array([64, 96]), np.array([16, 32]), flip=True)
    np.testing.assert_allclose(crop[:, 0, 1], [32 / 96, 56 / 96], atol=1e-6)


def test_rows_of_images():
    sizes = np.array([[100, 100], [200, 100], [50, 75], [100, 300]], np.int32)
    manifest = SplitManifest(None, "x", np.zeros(4, np.int32), sizes, ["a", "b", "c", "d"], np.arange(4))
    box = np.array([[0, 0, 1, 1]], np.float32)
    split = BoxedSplit(manifest, [box, box, box[:0], box])
    # At Q = 64 with crops of 32: 64x64, 128x64, no box, 64x192: 2 * 2, 4 * 2, 0, 2 * 6 positions.
    assert row_ends(split, ViewSpec("dense", 64, 32)).tolist() == [4, 12, 12, 24]
    assert row_ends(split, ViewSpec("center_crop", 64, 32)).tolist() == [1, 2, 2, 3]
    assert row_ends(split, ViewSpec("center_crop", 64, 32), flip=True).tolist() == [2, 4, 4, 6]
    # The paper's nets: a map of (side / 32 - 6) for 256x256 has 2 * 2 positions.
    assert row_ends(split, ViewSpec("dense", 256, 224)).tolist() == [4, 4 + 20, 24, 24 + 2 * 18]
    boxes = PositionBoxes(np.arange(30, dtype=np.float32).reshape(3, 10), np.array([1, 1, 3]), 0.0)
    assert boxes.of_image(0).tolist() == [[[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]]
    assert boxes.of_image(1).shape == (0, 2, 5)
    assert boxes.of_image(2)[1, 0].tolist() == [20, 21, 22, 23, 24]


def test_nets_that_are_called_once_each_are_no_function_that_is_traced_again_and_again(tmp_path, caplog):
    logging.getLogger("tensorflow").addHandler(caplog.handler)
    net = save_net("A", tmp_path / "x", 32, "48", 1, ["a", "b"])
    converted, view = fully_convolutional.convert(net), tf.zeros((1, 64, 96, 3))
    try:
        for _ in range(6):
            assert map_function(net)(view).shape == (1, 2, 3, 2)
            maps = PosteriorMaps(converted, [64], 32, flip=False).maps(np.zeros((64, 96, 3), np.uint8))
            assert maps[0].posteriors.shape == (2, 3, 2)
            assert DistributedPredictor(converted, tf.distribute.get_strategy(), flip=False)(view).shape == (1, 2)
    finally:
        logging.getLogger("tensorflow").removeHandler(caplog.handler)
    assert [record.message for record in caplog.records if "retracing" in record.message] == []
