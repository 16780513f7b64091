"""Tests the cache of frozen layers' outputs."""

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.training import feature_cache


class OutputsAreImages:
    """Stand-in for `TrainStep` whose frozen layers return their input, with the methods that `FeatureCache` calls."""

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")

    def shown(self, batch):
        return batch

    def frozen_outputs(self, batch):
        return batch["image"].numpy()

    def gather(self, values):
        return values.numpy()

    def frozen_shape(self, side):
        return (side, side, 2)


def images_of_view(view: int, side: int = 1) -> np.ndarray:
    """Returns ten images whose values encode view, image, row, column and channel: (10, side, side, 2) float32."""
    image, row, column, channel = np.indices((10, side, side, 2))
    return (10000 * view + 1000 * image + 100 * row + 10 * column + channel).astype(np.float32)


def cache_of(folder, side: int = 1) -> feature_cache.FeatureCache:
    def source(view, side):
        def batches(first_step):
            images = images_of_view(view, side)
            images = np.concatenate([images, images[:2]])  # the last batch is filled up
            for start in range(4 * first_step, 12, 4):
                part = images[start : start + 4]
                yield {"image": tf.constant(part), "label": tf.constant(part[:, 0, 0, 0] % 7, tf.int32)}

        return feature_cache.CachedSource(f"view{view}_{side}", batches, 10, 4, side)

    cache = feature_cache.FeatureCache(
        folder, OutputsAreImages(), [source(view, side) for view in range(2)], source(0, 1 if side == 1 else 2), seed=5
    )
    cache.fill()
    return cache


def epoch_of(cache, epoch) -> np.ndarray:
    return np.concatenate([batch["image"] for batch in cache.training(epoch, 0)])


def test_later_epochs_see_each_cached_photo_once_in_another_order(tmp_path):
    cache = cache_of(tmp_path)
    seen = [epoch_of(cache, epoch) for epoch in range(5)]
    np.testing.assert_array_equal(seen[1][:10], images_of_view(1))
    for epoch, view in ((2, 0), (3, 1), (4, 0)):
        assert len(seen[epoch]) == 12
        np.testing.assert_array_equal(sorted(seen[epoch][:10, 0, 0, 0]), images_of_view(view)[:, 0, 0, 0])
        np.testing.assert_array_equal(seen[epoch][10:], seen[epoch][:2])
    assert not np.array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[2], seen[4])
    late = list(cache.training(2, 2))
    np.testing.assert_array_equal(late[0]["image"], seen[2][8:])
    np.testing.assert_array_equal(late[0]["label"], seen[2][8:, 0, 0, 0] % 7)
    np.testing.assert_array_equal(late[0]["row"], range(4))


def test_crops_and_mirror_images_of_cached_maps(tmp_path):
    cache, maps = cache_of(tmp_path, side=3), images_of_view(0, side=3)
    found = set()
    for epoch in range(0, 60, 2):  # these train on view 0
        for crop in epoch_of(cache, epoch):
            image = int(crop.min()) // 1000
            (place,) = [
                (row, column, mirrored)
                for row in range(2)
                for column in range(2)
                for mirrored in (False, True)
                if np.array_equal(crop[:, :: -1 if mirrored else 1], maps[image, row : row + 2, column : column + 2])
            ]
            found.add(place)
    assert len(found) == 8
    np.testing.assert_array_equal(epoch_of(cache, 8), epoch_of(cache, 8))
    np.testing.assert_array_equal(next(iter(cache.training(8, 1)))["image"], epoch_of(cache, 8)[4:8])
    # Validation takes its maps as they are.
    validation = np.concatenate([batch["image"] for batch in cache.validation()])
    np.testing.assert_array_equal(validation[:10], images_of_view(0, side=2))


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_boxes_follow_the_crops_and_mirror_images_of_maps(in_pipeline):
    # A view of 128x128 pixels, its map of 4x4 positions; the net sees 64x64 pixels, 2x2 positions. The map tells its
    # positions; the box spans rows 16 to 80 and columns 32 to 112 of the view.
    rows, columns = np.indices((4, 4)).astype(np.float32)
    view = {"image": np.stack([rows, columns], axis=-1), "box": np.array([16, 32, 80, 112], np.float32) / 128}
    seeds = [[1, seed] for seed in range(40)]

    def crop(seed):
        return feature_cache.crop_map(view, 2, 64, seed)

    if in_pipeline:
        drawn = list(tf.data.Dataset.from_tensor_slices(tf.constant(seeds)).map(crop).as_numpy_iterator())
    else:
        drawn = [{name: value.numpy() for name, value in crop(tf.constant(seed)).items()} for seed in seeds]
    seen = set()
    for one in drawn:
        top, mirrored = int(one["image"][0, 0, 0]), bool(one["image"][0, 0, 1] > one["image"][0, 1, 1])
        left = int(one["image"][0, :, 1].min())
        seen.add((top, left, mirrored))
        xmin, xmax = 32 - 32 * left, 112 - 32 * left  # in pixels of the crop
        if mirrored:
            xmin, xmax = 64 - xmax, 64 - xmin
        expected = [(16 - 32 * top) / 64, xmin / 64, (80 - 32 * top) / 64, xmax / 64]
        np.testing.assert_allclose(one["box"], expected, atol=1e-6)
    assert len(seen) > 12


def test_an_image_without_a_box_stays_without():
    view = {"image": tf.zeros((4, 4, 1)), "box": tf.zeros(4)}
    for seed in range(8):
        np.testing.assert_array_equal(feature_cache.crop_map(view, 2, 64, tf.constant([0, seed]))["box"], np.zeros(4))
