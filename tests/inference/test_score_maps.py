"""Tests the maps of a photo's classes: where they are drawn, what they average, and that they agree with the label."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.evaluation_data import photo, save_net
from tests.helpers.photos import decoded
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.inference.score_maps import PosteriorMaps, enlarge_map


def test_a_map_of_four_positions():
    posteriors = np.array([[0.0, 0.4], [0.8, 1.0]])[..., np.newaxis]
    # The windows of 64 pixels in an image of 96x96 have their centres at 32 and 64 pixels, in a picture of half the
    # size at 16 and 32. Pixel 24 of the picture is at 24.5, which is 17/32 of the way.
    heat = enlarge_map(posteriors, (96, 96), (48, 48), 64)[..., 0]
    assert heat.shape == (48, 48)
    np.testing.assert_allclose(heat[:16, :16], 0.0)
    np.testing.assert_allclose(heat[:16, 32:], 0.4)
    np.testing.assert_allclose(heat[32:, :16], 0.8)
    np.testing.assert_allclose(heat[32:, 32:], 1.0)
    np.testing.assert_allclose(heat[24, 0], 0.8 * 17 / 32)
    np.testing.assert_allclose(heat[0, [16, 24, 31]], [0.4 / 32, 0.4 * 17 / 32, 0.4 * 31 / 32])
    np.testing.assert_allclose(heat[24, 24], (0.4 + 0.8) * 17 / 32 * 15 / 32 + 1.0 * (17 / 32) ** 2)


def test_a_single_position_holds_for_the_whole_photo():
    heat = enlarge_map(np.array([[[0.3, 0.7]]]), (64, 80), (10, 13), 64)
    assert heat.shape == (10, 13, 2)
    np.testing.assert_allclose(heat, np.broadcast_to([0.3, 0.7], (10, 13, 2)))


def brightness_net(images, training):
    """Computes a map of two classes whose first posterior is the mean brightness of a window of 64 pixels."""
    bright = tf.nn.avg_pool2d(images[..., :1], 64, 32, "VALID") / 255
    return tf.math.log(tf.concat([bright, 1 - bright], axis=-1))


def test_mirror_images_are_mirrored_back():
    # 64 bright columns (0.8), then 63 dark ones (0.2): the second window, columns 32..95, sees 32 of each. The windows
    # of the mirror image see columns 63..126, of which one is bright, and 31..94, of which 33 are.
    picture = np.full((64, 127, 3), 51, np.uint8)
    picture[:, :64] = 204
    plain = PosteriorMaps(brightness_net, [64], 64, flip=False)
    both = PosteriorMaps(brightness_net, [64], 64, flip=True)
    (seen,) = plain.maps(picture)
    np.testing.assert_allclose(seen.posteriors[0, :, 0], [0.8, 0.5], rtol=1e-5)
    _, mirrored = both.maps(picture)
    np.testing.assert_allclose(mirrored.posteriors[0, :, 0], [0.209375, 0.509375], rtol=1e-5)
    # The centres of the first are columns 32 and 64, those of the second 127 - 32 = 95 and 127 - 64 = 63.
    heat = both.heat_maps(picture, [0], (64, 127))
    assert heat.shape == (64, 127, 1)
    np.testing.assert_allclose(heat[:, 0, 0], (0.8 + 0.509375) / 2, rtol=1e-5)
    np.testing.assert_allclose(heat[:, 126, 0], (0.5 + 0.209375) / 2, rtol=1e-5)
    plain_at_80, mirrored_at_80 = 0.5, 0.509375 - 0.3 * (80.5 - 63) / 32
    np.testing.assert_allclose(heat[:, 80, 0], (plain_at_80 + mirrored_at_80) / 2, rtol=1e-5)


def test_several_scales_are_averaged():
    picture = np.full((64, 128, 3), 51, np.uint8)
    picture[:, :64] = 204
    one, other, both = (
        PosteriorMaps(brightness_net, scales, 64, flip=False).heat_maps(picture, [1, 0], (32, 64))
        for scales in ([64], [96], [64, 96])
    )
    assert both.shape == (32, 64, 2)
    assert np.abs(one - other).max() > 0.05
    np.testing.assert_allclose(both, (one + other) / 2, rtol=1e-6)
    np.testing.assert_allclose(both.sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("flip", [True, False])
def test_the_maps_mean_is_the_label_where_posteriors_are_averaged(flip, tmp_path):
    save_net("A", tmp_path / "run")
    protocol = TestProtocol("dense", "64,97,130", flip, "posteriors")
    predictor = Predictor(load_for_inference(tmp_path / "run", protocol), protocol)
    picture = decoded(photo(3, (140, 100)))
    maps = predictor.maps.maps(picture)
    assert [one.posteriors.shape[:2] for one in maps if not one.mirrored] == [(1, 1), (2, 3), (3, 4)]
    mean = np.mean([one.posteriors.mean(axis=(0, 1)) for one in maps], axis=0)
    np.testing.assert_allclose(mean, predictor.posteriors(picture), atol=1e-6)
