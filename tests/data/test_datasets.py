"""Tests the opening of data sets written by data_prep and of TFDS, and the refusal of anything else."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.helpers.photos import encode, make_source, write
from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.utils.errors import UserError


@pytest.fixture(scope="module")
def data(drawn_data):
    return datasets.open_data(str(drawn_data))


def test_statistics_are_computed_where_there_is_no_file(data, drawn_data, tmp_path):
    for path in drawn_data.iterdir():
        if path.name != "rgb_statistics.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    computed = datasets.load_rgb_statistics(datasets.open_data(str(tmp_path)), "train")
    stored = datasets.load_rgb_statistics(data, "train")
    # The JPEG decoders of Pillow and TensorFlow differ by single levels.
    np.testing.assert_allclose(computed.mean, stored.mean, atol=0.1)
    assert computed.num_pixels == stored.num_pixels


def test_sub_splits_and_their_errors(data):
    assert data.num_images("train[:50%]") == 30
    with pytest.raises(UserError, match="has no split 'test'; it has train, validation"):
        data.num_images("test")
    with pytest.raises(UserError, match=r"split 'train\[60:\]' is empty"):
        data.num_images("train[60:]")


@pytest.mark.parametrize(
    ("split", "meant"), [("trian", "train"), ("trian[:90%]", "train"), ("val", "validation"), ("Training", "train")]
)
def test_the_split_that_was_meant(data, split, meant):
    message = f"has no split '{split}'; it has train, validation; did you mean {meant}?"
    with pytest.raises(UserError, match=f"{re.escape(message)}$"):
        data.num_images(split)


def test_a_data_set_of_tfds_by_name(drawn_data, tmp_path):
    shutil.copytree(drawn_data, tmp_path / "drawn_flowers" / "1.0.0")
    data = datasets.open_data(str(tmp_path), "drawn_flowers")
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
    data = datasets.open_data(str(tmp_path), "grey")
    arguments = {"smallest_side": 32, "crop_size": 32, "batch_size": 1}
    batch = next(iter(input_pipeline.evaluation_batches(data, "train", **arguments)))
    expected = tf.image.resize(np.repeat(grey, 3, axis=2), (32, 32), antialias=True)
    np.testing.assert_allclose(batch["image"][0], expected, atol=1e-3)
    assert int(batch["label"][0]) == 1


def test_other_photos_of_the_same_names_and_sizes_are_not_the_same(tmp_path):
    for name, mode in (("colour", "RGB"), ("grey", "L")):
        images = [(f"{index}.jpg", encode((8, 6), mode, seed=index)) for index in range(3)]
        write(make_source(images), tmp_path / name)
    colour, grey = (
        SplitManifest.read(datasets.open_data(tmp_path / name), "train").identity() for name in ("colour", "grey")
    )
    again = SplitManifest.read(datasets.open_data(tmp_path / "colour"), "train").identity()
    key = "sha256_of_classes_labels_images"
    assert colour == again
    assert {name: value for name, value in colour.items() if name != key} == {
        name: value for name, value in grey.items() if name != key
    }
    assert colour[key] != grey[key]
