"""Batches: what is in them, in which order, and that it depends on nothing but the seed and the epoch."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data_prep.statistics import RgbStatistics
from vgg_keras import input_pipeline, transforms
from vgg_keras.command_line import UserError
from vgg_keras.input_pipeline import Augmentation, Share


@pytest.fixture(scope="module")
def data(drawn_data):
    return input_pipeline.open_data(str(drawn_data))


@pytest.fixture(scope="module")
def augmentation(drawn_data):
    return Augmentation(32, (32, 48), RgbStatistics.load(drawn_data))


def epoch(data, augmentation, **arguments):
    """Returns the images, labels and rows of an epoch, concatenated."""
    arguments = {"seed": 1, "epoch": 0, "batch_size": 8, **arguments}
    batches = list(input_pipeline.training_epoch(data, "train", augmentation, **arguments).as_numpy_iterator())
    return {key: np.concatenate([batch[key] for batch in batches]) for key in ("image", "label", "row")}


def assert_same(received, expected):
    for key, value in expected.items():
        np.testing.assert_array_equal(received[key], value, err_msg=key)


def test_epoch_fills_the_last_batch_with_its_first_images(data, augmentation):
    batches = epoch(data, augmentation)
    # 60 photos in batches of 8: eight batches, four photos come twice, in another view.
    assert batches["image"].shape == (64, 32, 32, 3)
    assert batches["image"].dtype == np.float32
    np.testing.assert_array_equal(batches["label"][60:], batches["label"][:4])
    assert np.abs(batches["image"][60:] - batches["image"][:4]).max() > 1
    np.testing.assert_array_equal(np.bincount(batches["label"][:60]), [12] * 5)
    np.testing.assert_array_equal(batches["row"], np.arange(64) % 8)


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


def test_statistics_are_computed_where_there_is_no_file(data, drawn_data, tmp_path):
    for path in drawn_data.iterdir():
        if path.name != "rgb_statistics.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    computed = input_pipeline.rgb_statistics(input_pipeline.open_data(str(tmp_path)), "train")
    stored = input_pipeline.rgb_statistics(data, "train")
    # Pillow's and TensorFlow's JPEG decoders differ in single levels.
    np.testing.assert_allclose(computed.mean, stored.mean, atol=0.1)
    assert computed.num_pixels == stored.num_pixels


def test_sub_splits_and_their_errors(data):
    assert data.num_images("train[:50%]") == 30
    with pytest.raises(UserError, match="has no split 'test'; it has train, validation"):
        data.num_images("test")
    with pytest.raises(UserError, match=r"split 'train\[60:\]' is empty"):
        data.num_images("train[60:]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "name the data: --data_dir=FOLDER"),
        (("absent",), "--data_dir=absent holds no TFDS data set"),
        (("absent", "no_such_data_set"), "cannot open the data set no_such_data_set"),
    ],
)
def test_data_that_is_not_there(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        input_pipeline.open_data(*arguments)


def test_a_data_set_of_tfds_by_name(drawn_data, tmp_path):
    shutil.copytree(drawn_data, tmp_path / "drawn_flowers" / "1.0.0")
    data = input_pipeline.open_data(str(tmp_path), "drawn_flowers")
    assert data.num_images("validation") == 35
    assert list(data.label_names) == ["daisy", "dandelion", "rose", "sunflower", "tulip"]


def test_grey_png_images_of_tfds_become_rgb(tmp_path):
    grey = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28, 1)
    features = {
        "image": tfds.features.Image(shape=(28, 28, 1)),
        "label": tfds.features.ClassLabel(names=["one", "two"]),
        "id": tfds.features.Text(),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="grey",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": [(0, {"image": grey, "label": 1, "id": "x"})]},
        data_dir=tmp_path,
    )
    data = input_pipeline.open_data(str(tmp_path), "grey")
    arguments = {"smallest_side": 32, "crop_size": 32, "batch_size": 1}
    batch = next(iter(input_pipeline.evaluation_batches(data, "train", **arguments)))
    expected = tf.image.resize(np.repeat(grey, 3, axis=2), (32, 32), antialias=True)
    np.testing.assert_allclose(batch["image"][0], expected, atol=1e-3)
    assert int(batch["label"][0]) == 1


def test_several_data_sets_in_one_folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset_info.json").touch()
    with pytest.raises(UserError, match="holds 2 data sets"):
        input_pipeline.open_data(str(tmp_path))


def test_distributed_batches_of_one_device(data, augmentation):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    make = lambda **arguments: input_pipeline.training_epoch(data, "train", augmentation, seed=1, epoch=0, **arguments)  # noqa: E731
    batches = list(input_pipeline.distribute(strategy, 8, make))
    received = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(received, epoch(data, augmentation)["image"])
