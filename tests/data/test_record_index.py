"""Tests reading records in any order: where they lie, split by split, and what is kept of it."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_datasets.core.utils import shard_utils

from tests.helpers.photos import encode
from tests.helpers.tfds_writer import write_with_tfds
from vgg_keras.data import datasets, record_index
from vgg_keras.data.record_index import RecordIndex
from vgg_keras.utils.errors import UserError

SIZES = "record_sizes-train.npz"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Writes a data set of 90 and 20 images with TFDS, in several files; the images' names are train0, train1, ..."""
    counts = {"train": 90, "validation": 20}
    images = {
        split: [(f"{split}{number}", encode((16, 12), seed=number), number % 2) for number in range(count)]
        for split, count in counts.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_utils.ShardConfig, "min_shard_size", 4_000)
        folder = write_with_tfds("pairs", ["a", "b"], images, tmp_path_factory.mktemp("tfds"))
    assert len(list(folder.glob("*train.tfrecord*"))) > 4
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "data")


def content(path):
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def names(data, split, *, inside=True):
    reader, count = data.record_reader(split), data.num_images(split)
    if inside:
        found = tf.data.Dataset.range(count).map(reader, num_parallel_calls=2).as_numpy_iterator()
        return [example["name"].decode() for example in found]
    return [reader(tf.constant(index))["name"].numpy().decode() for index in range(count)]


def test_records_are_found_from_another_folder(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    data = datasets.open_data("data")
    reader = data.record_reader("validation")
    monkeypatch.chdir("/")
    assert reader(tf.constant(0))["name"].numpy() in {b"validation%d" % number for number in range(20)}


@pytest.mark.parametrize(
    "split", ["train", "validation", "train[:90%]", "train[33:47]", "train[-7:]", "train[20:30]+train[60:]"]
)
def test_every_record_of_a_split_once(folder, split):
    data = datasets.open_data(folder)
    in_order = [example["name"].decode() for example in data.encoded(split).as_numpy_iterator()]
    assert sorted(names(data, split)) == sorted(in_order)
    assert names(data, split, inside=False) == names(data, split)


def test_where_the_records_lie(folder):
    index = RecordIndex.of_split(datasets.open_data(folder), "train[33:]")
    # Of the files, one after the other, the bytes of each record: 12 in front of it and 4 behind it.
    everything = [record for path in sorted(folder.glob("*train.tfrecord*")) for record in content(path)]
    assert len(index) == 90 - 33
    for place, record in enumerate(everything[33:]):
        with open(index.paths[index.file[place]], "rb") as file:
            file.seek(index.offset[place])
            frame = file.read(index.size[place])
        assert frame[12:-4] == record
        assert index.read(tf.constant(place)).numpy() == record


def test_the_sizes_are_kept_beside_the_records(folder):
    data = datasets.open_data(folder)
    expected = [len(record) + 16 for path in sorted(folder.glob("*train.tfrecord*")) for record in content(path)]
    data.record_reader("train[:10]")
    assert np.load(folder / SIZES)["sizes"].tolist() == expected
    assert not (folder / "record_sizes-validation.npz").exists()
    # What was kept is used, as long as it fits the files.
    before = (folder / SIZES).stat().st_mtime_ns
    data.record_reader("train")
    assert (folder / SIZES).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "other", "text", "numbers"])
def test_sizes_that_are_damaged_are_found_again(folder, damage):
    data = datasets.open_data(folder)
    data.record_reader("train")
    kept = (folder / SIZES).read_bytes()
    if damage == "flipped":
        middle = len(kept) // 2
        (folder / SIZES).write_bytes(kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :])
    elif damage == "cut":
        (folder / SIZES).write_bytes(kept[:-30])
    elif damage == "text":
        (folder / SIZES).write_text("sizes")
    else:
        sizes = np.load(folder / SIZES)["sizes"]
        np.savez(folder / SIZES, sizes=sizes[::-1] if damage == "other" else sizes.astype(np.float32))
    assert sorted(names(data, "train")) == sorted(f"train{number}" for number in range(90))


def test_a_folder_that_takes_no_file(folder):
    (folder / SIZES).mkdir()  # stands for a folder that is read only, which nothing is for root
    assert len(names(datasets.open_data(folder), "train")) == 90


def test_the_sizes_of_one_file_are_those_of_its_records(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
        for record in (b"12345", b"", b"x" * 1000):
            writer.write(record)
    assert record_index.sizes_in_file(tmp_path / "x").tolist() == [21, 16, 1016]
    (tmp_path / "empty").write_bytes(b"")
    assert record_index.sizes_in_file(tmp_path / "empty").tolist() == []


def test_a_record_whose_length_is_damaged(folder):
    path = min(folder.glob("*train.tfrecord*"))
    damaged = bytearray(path.read_bytes())
    damaged[0] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=rf"{path.name}: record 0 is damaged: .*data_prep\.verify"):
        datasets.open_data(folder).record_reader("train")


def test_files_of_another_kind_are_refused(folder):
    for path in folder.glob("*.tfrecord*"):
        path.rename(folder / path.name.replace(".tfrecord", ".array_record"))
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("tfrecord", "array_record").replace("{FILEFORMAT}", "array_record"))
    with pytest.raises(UserError, match="is stored as array_record; training reads TFRecord files: prepare the data"):
        datasets.open_data(folder).record_reader("train")
