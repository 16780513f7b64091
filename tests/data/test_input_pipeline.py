"""Tests the content and the order of batches, which depend only on the seed and the epoch."""

import dataclasses
import gc
import io
import itertools
import queue
import threading

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vgg_keras.data import datasets, device_augmentation, input_pipeline, transforms
from vgg_keras.data.input_pipeline import Augmentation, Share
from vgg_keras.data.rgb_statistics import RgbStatistics


@pytest.fixture(scope="module")
def data(drawn_data):
    return datasets.open_data(str(drawn_data))


@pytest.fixture(scope="module")
def augmentation(drawn_data):
    return Augmentation(32, (32, 48), RgbStatistics.load(drawn_data))


def epoch(data, augmentation, **arguments):
    """Returns the images, what is to be done with them, the labels and the rows of an epoch, concatenated."""
    arguments = {"seed": 1, "epoch": 0, "batch_size": 8, **arguments}
    batches = list(input_pipeline.training_epoch(data, "train", augmentation, **arguments).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def assert_same(received, expected):
    for key, value in expected.items():
        np.testing.assert_array_equal(received[key], value, err_msg=key)


def test_epoch_fills_the_last_batch_with_its_first_images(data, augmentation):
    batches = epoch(data, augmentation)
    # 60 photos make eight batches of 8: four photos come twice, the second time in another view.
    assert batches["image"].shape == (64, 32, 32, 3)
    assert batches["image"].dtype == np.uint8
    np.testing.assert_array_equal(batches["label"][60:], batches["label"][:4])
    assert np.abs(batches["image"][60:] - batches["image"][:4].astype(float)).max() > 1
    np.testing.assert_array_equal(np.bincount(batches["label"][:60]), [12] * 5)
    np.testing.assert_array_equal(batches["row"], np.arange(64) % 8)


def test_mirror_images_and_colour_shifts_follow_from_the_position(data, augmentation):
    batches = epoch(data, augmentation, epoch=3)
    assert 16 <= batches["mirrored"].sum() <= 48  # of 64, by chance 4 standard deviations around a half
    rgb = augmentation.rgb
    for position in (0, 17, 63):
        seed = tf.random.experimental.stateless_fold_in(tf.constant([1, 3], tf.int64), np.int64(position))
        seeds = tf.random.experimental.stateless_split(seed, 4)
        flipped = tf.image.stateless_random_flip_left_right(tf.constant([[[0.0] * 3, [1.0] * 3]]), seeds[2])
        assert batches["mirrored"][position] == bool(flipped[0, 0, 0])
        factors = tf.random.stateless_normal((3,), seeds[3], stddev=0.1).numpy()
        expected = rgb.eigenvectors @ (factors * rgb.eigenvalues / 255)
        np.testing.assert_allclose(batches["rgb_shift"][position], expected, rtol=1e-5)


def test_pixels_are_rounded_to_the_nearest_level(data, augmentation):
    batches = epoch(data, dataclasses.replace(augmentation, scale_range=(40, 40)))
    positions = input_pipeline.order_of_epoch(60, seed=1, epoch=0)
    read = data.record_reader("train")
    for index in (0, 41):
        seed = tf.random.experimental.stateless_fold_in(tf.constant([1, 0], tf.int64), np.int64(index))
        seeds = tf.random.experimental.stateless_split(seed, 4)
        whole = transforms.rescale(transforms.decode(read(positions[index])["image_bytes"]), 40)
        exact = transforms.random_crop(whole, 32, seeds[1]).numpy()
        assert np.abs(batches["image"][index] - exact).max() <= 0.5 + 0.05  # what the border of a window may differ


def test_a_batch_larger_than_the_data_set(data, augmentation):
    assert epoch(data, augmentation, batch_size=150)["image"].shape[0] == 150


def test_epoch_follows_from_seed_and_number(data, augmentation):
    first = epoch(data, augmentation)
    assert_same(epoch(data, augmentation), first)
    for change in ({"seed": 2}, {"epoch": 1}):
        other = epoch(data, augmentation, **change)
        assert not np.array_equal(other["label"], first["label"])
        np.testing.assert_array_equal(np.bincount(other["label"][:60]), [12] * 5)


def test_epoch_begins_in_its_middle(data, augmentation):
    rest = epoch(data, augmentation, first_step=3)
    assert_same(rest, {key: value[24:] for key, value in epoch(data, augmentation).items()})


def test_workers_share_every_batch(data, augmentation):
    whole = epoch(data, augmentation)
    for index in range(2):
        part = epoch(data, augmentation, share=Share(index, 2), per_replica_batch=4)
        assert_same(part, {key: value[index::2] for key, value in whole.items()})


def test_an_epoch_of_resized_windows_follows_from_its_seed(data, augmentation):
    augmentation = dataclasses.replace(augmentation, scale_range=None)
    first = epoch(data, augmentation)
    assert_same(epoch(data, augmentation), first)
    rest = epoch(data, augmentation, first_step=3)
    assert_same(rest, {key: value[24:] for key, value in first.items()})
    assert first["image"].shape == (64, 32, 32, 3)
    assert np.abs(first["image"][60:] - first["image"][:4].astype(float)).max() > 1  # the same photos, in other windows


def test_validation_on_squashed_photos(data):
    example = next(iter(data.encoded("validation")))
    photo = Image.open(io.BytesIO(example["image_bytes"].numpy())).convert("RGB")
    expected = np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR), np.float32)
    batch = next(
        iter(input_pipeline.evaluation_batches(data, "validation", smallest_side=None, crop_size=32, batch_size=1))
    )
    np.testing.assert_allclose(batch["image"][0], expected, atol=2.1)


def test_boxes_of_squashed_photos_are_those_of_the_photos(drawn_data):
    data = datasets.open_data(str(drawn_data))
    examples = list(data.encoded("validation", boxes=True).as_numpy_iterator())
    arguments = {"smallest_side": None, "crop_size": 32, "batch_size": 7, "with_boxes": True}
    batches = list(input_pipeline.evaluation_batches(data, "validation", **arguments).as_numpy_iterator())
    found = np.concatenate([batch["box"] for batch in batches])
    for example, box in zip(examples, found, strict=True):
        areas = [(ymax - ymin) * (xmax - xmin) for ymin, xmin, ymax, xmax in example["boxes"]]
        np.testing.assert_array_equal(box, example["boxes"][np.argmax(areas)])


def test_no_pipeline_is_tuned(data, augmentation):
    batches = [
        input_pipeline.training_epoch(data, "train", augmentation, seed=1, epoch=0, batch_size=8),
        input_pipeline.evaluation_batches(data, "validation", smallest_side=40, crop_size=32, batch_size=8),
    ]
    assert [one.options().autotune.enabled for one in batches] == [False, False]


def test_an_iterator_over_several_devices_is_deleted_by_another_thread():
    class Batches:
        def __next__(self):
            return "batch"

        def __del__(self):
            deleted_by.put(threading.current_thread())

    deleted_by = queue.SimpleQueue()
    for taken in (3, 1):
        batches = input_pipeline._batches([Batches()], 3)
        assert list(itertools.islice(batches, taken)) == ["batch"] * taken
        del batches
        gc.collect()
        assert deleted_by.get(timeout=60) is not threading.current_thread()


@pytest.mark.parametrize("batch_size", [1, 8, 35, 50])
@pytest.mark.parametrize("count", [1, 2])
def test_evaluation_sees_every_image_once(data, batch_size, count):
    batch_size *= count
    seen, batches_of_worker = [], []
    for index in range(count):
        arguments = {"smallest_side": 40, "crop_size": 32, "batch_size": batch_size, "share": Share(index, count)}
        batches = list(input_pipeline.evaluation_batches(data, "validation", **arguments).as_numpy_iterator())
        batches_of_worker.append(len(batches))
        assert {len(batch["image"]) for batch in batches} == {batch_size // count}
        seen += [image.tobytes() for batch in batches for image in batch["image"][batch["weight"] == 1]]
    assert len(set(batches_of_worker)) == 1
    assert len(seen) == len(set(seen)) == 35


def test_evaluation_takes_the_centre(data):
    example = next(iter(data.encoded("validation")))
    whole = transforms.rescale(transforms.decode(example["image_bytes"]), 40).numpy()
    top, left = (whole.shape[0] - 32) // 2, (whole.shape[1] - 32) // 2
    arguments = {"smallest_side": 40, "crop_size": 32, "batch_size": 1}
    batch = next(iter(input_pipeline.evaluation_batches(data, "validation", **arguments)))
    np.testing.assert_allclose(batch["image"][0], whole[top : top + 32, left : left + 32], atol=0.05)


def test_distributed_batches_of_one_device(data, augmentation):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    make = lambda **arguments: input_pipeline.training_epoch(data, "train", augmentation, seed=1, epoch=0, **arguments)  # noqa: E731
    batches = list(input_pipeline.distribute(strategy, 8, 8, make))
    received = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(received, epoch(data, augmentation)["image"])


def photo_with_a_rectangle():
    """Returns a black photo of 120x160 pixels as PNG, with a white rectangle, and its box, relative to the photo."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[30:80, 40:120] = 255
    return tf.io.encode_png(pixels), np.float32([[30 / 120, 40 / 160, 80 / 120, 120 / 160]])


@pytest.mark.parametrize("scale_range", [(64, 100), None])
@pytest.mark.parametrize("inside", [False, True])
def test_boxes_follow_scale_crop_and_mirror_image(drawn_data, inside, scale_range):
    image_bytes, box = photo_with_a_rectangle()
    augmentation = Augmentation(64, scale_range, RgbStatistics.load(drawn_data), rgb_shift_stddev=0)
    example = {"image_bytes": image_bytes, "boxes": tf.constant(box)}
    seeds = tf.constant([[seed, 7] for seed in range(40)], tf.int64)
    if inside:
        drawn = tf.data.Dataset.from_tensor_slices(seeds).map(lambda seed: augmentation(example, seed))
        seen = next(iter(drawn.batch(40).map(device_augmentation.augment)))
    else:
        drawn = [augmentation(example, seed) for seed in seeds]
        seen = device_augmentation.augment({key: tf.stack([one[key] for one in drawn]) for key in drawn[0]})
    for image, relative in zip(seen["image"].numpy(), seen["box"].numpy(), strict=True):
        white = image[..., 0] > 127
        if scale_range is None and not white.any():
            continue  # the window shows nothing of the object
        rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
        found = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
        # Of the box, which may reach past the crop, the crop shows this part.
        np.testing.assert_allclose(found, np.clip(relative * 64, 0, 64), atol=1.01)
    boxes_seen = seen["box"].numpy()
    assert boxes_seen.max() > 1.05  # some reach past the crop
    assert len(np.unique(boxes_seen[:, 1])) > 20  # and they are not all the same


def test_an_image_without_a_box_has_zeros(drawn_data):
    image_bytes, _ = photo_with_a_rectangle()
    augmentation = Augmentation(64, (64, 100), RgbStatistics.load(drawn_data))
    for seed in range(10):
        shown = augmentation({"image_bytes": image_bytes, "boxes": tf.zeros((0, 4))}, tf.constant([seed, 0], tf.int64))
        assert shown["box"].numpy().tolist() == [0.0] * 4


def test_batches_with_boxes_show_the_same_images(data, augmentation):
    plain = epoch(data, augmentation)
    batches = list(
        input_pipeline.training_epoch(
            data, "train", augmentation, seed=1, epoch=0, batch_size=8, with_boxes=True
        ).as_numpy_iterator()
    )
    assert_same({key: np.concatenate([batch[key] for batch in batches]) for key in plain}, plain)
    boxes = np.concatenate([batch["box"] for batch in batches])
    assert boxes.shape == (64, 4)
    assert (boxes[:, :2] < boxes[:, 2:]).all()


def test_validation_has_the_box_in_the_centre_crop(data):
    (batch, *_) = input_pipeline.evaluation_batches(
        data, "validation", smallest_side=40, crop_size=32, batch_size=8, with_boxes=True
    ).as_numpy_iterator()
    example = next(data.encoded("validation", boxes=True).as_numpy_iterator())
    height, width = tf.io.decode_image(example["image_bytes"]).shape[:2]
    scale = 40 / min(height, width)
    rescaled = np.array([round(height * scale), round(width * scale)])
    top, left = (rescaled - 32) // 2
    ymin, xmin, ymax, xmax = (example["boxes"] * [*rescaled, *rescaled]).T
    moved = np.stack([ymin - top, xmin - left, ymax - top, xmax - left], axis=1) / 32
    visible = np.prod(np.clip(moved[:, 2:], 0, 1) - np.clip(moved[:, :2], 0, 1), axis=1)
    np.testing.assert_allclose(batch["box"][0], moved[np.argmax(visible)], atol=1e-5)


def test_the_order_of_an_epoch_never_changes():
    # Numbers that were noted when the order was introduced: a run that was begun then can be resumed today.
    assert input_pipeline.order_of_epoch(10, seed=1, epoch=0).tolist() == [1, 0, 9, 8, 6, 3, 7, 4, 2, 5]
    assert input_pipeline.order_of_epoch(10, seed=1, epoch=1).tolist() == [9, 2, 8, 0, 7, 3, 1, 5, 4, 6]
    assert sorted(input_pipeline.order_of_epoch(1000, seed=7, epoch=3)) == list(range(1000))
