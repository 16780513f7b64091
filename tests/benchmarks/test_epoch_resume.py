"""Tests the benchmark of resumed epochs: the batch with which both sides begin."""

import numpy as np
import pytest

from benchmarks import epoch_resume
from benchmarks.harness import materials
from vgg_keras.data import datasets


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Makes a data set of 24 records: four drawn photos, six times each."""
    folder = tmp_path_factory.mktemp("epoch_resume")
    photos = [materials.draw_photo(index, divisor=8) for index in range(4)]
    materials.write_records(materials.pack(photos, folder / "photos.tar"), 6, folder / "data")
    return datasets.open_data(folder / "data")


@pytest.mark.parametrize("name", ["ours", "peer"])
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(data, name):
    whole, rest = (list(epoch_resume.epochs(data, 8, step)[name]().as_numpy_iterator()) for step in (0, 2))
    assert (len(whole), len(rest)) == (3, 1)
    assert rest[0]["image"].shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(rest[0]["label"], whole[2]["label"])
    np.testing.assert_array_equal(rest[0]["image"], whole[2]["image"])
    # Photos 0 and 2 are of class 0, and 1 and 3 of class 1: twelve records of each.
    assert sum(batch["label"].sum() for batch in whole) == 12
