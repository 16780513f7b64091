"""Tests that the files of a data set are those that TFDS writes."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import shard_utils

from data_prep import records
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.objects import Object, Placed
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Source
from tests.helpers.photos import encode, make_split, read
from tests.helpers.tfds_writer import records_of, write_with_tfds

CLASSES = ["b", "a", "ä c"]


def make_images(count, split):
    return [(f"{split[0]}/{number}.jpg", encode((16, 12), seed=number), number % 3) for number in range(count)]


def write_ours(images, folder, name="My set", annotate=None):
    splits = {
        split: make_split([(key, data) for key, data, _ in some], [label for *_, label in some], annotate=annotate)
        for split, some in images.items()
    }
    source = Source(name, "Test.", CLASSES, CLASSES, splits)
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1))


# 0: TFDS's own smallest size of a record file, which gives one file for each split.
@pytest.mark.parametrize(
    ("shard_bytes", "num_shards"), [(0, (1, 1)), (100_000, (2, 1)), (20_000, (8, 2)), (4_000, (64, 8))]
)
def test_the_same_files_as_tfds(tmp_path, monkeypatch, shard_bytes, num_shards):
    if shard_bytes:
        monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", shard_bytes)
    images = {"train": make_images(311, "train"), "validation": make_images(70, "validation")}
    expected = write_with_tfds("my_set", CLASSES, images, tmp_path / "tfds")
    write_ours(images, tmp_path / "ours")
    names = sorted(path.name for path in expected.iterdir())
    extra = {"class_indices.json", "class_names.json", "label_names.txt", "preparation.json", "rgb_statistics.json"}
    extra |= {"croissant.json", *(f"record_sizes-{split}.npz" for split in images)}
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == sorted({*names, *extra})
    shards = [name for name in names if ".tfrecord-" in name]
    assert [sum(f"-{split}." in name for name in shards) for split in images] == list(num_shards)
    for name in names:
        if name in shards:
            raw = tf.data.TFRecordDataset(str(tmp_path / "ours" / name)).as_numpy_iterator()
            assert list(raw) == records_of(expected / name), name
        else:
            assert (tmp_path / "ours" / name).read_bytes() == (expected / name).read_bytes(), name


# Boxes whose corners are no fractions of two, none, and a single one.
OBJECTS = (
    [Object(1, (0.1, 0.2, 0.3, 0.4), True), Object(2, (0.0, 1 / 3, 1.0, 2 / 3))],
    [],
    [Object(0, (0.25, 0.25, 0.5, 1.0))],
)


def annotate(piece, prepared):
    return Placed(OBJECTS[int(piece.key[2:-4]) % 3])


def test_the_same_files_as_tfds_with_objects(tmp_path):
    images = {"train": make_images(9, "train"), "validation": make_images(3, "validation")}
    label = tfds.features.ClassLabel(names=CLASSES)
    # The layout of TFDS's own "voc", with those of its features that are used.
    one = {"bbox": tfds.features.BBoxFeature(), "label": label, "is_difficult": np.bool_}
    with_objects = {
        split: [
            (
                *image,
                [
                    {"bbox": tfds.features.BBox(*o.box), "label": o.label, "is_difficult": o.is_difficult}
                    for o in OBJECTS[number % 3]
                ],
            )
            for number, image in enumerate(some)
        ]
        for split, some in images.items()
    }
    expected = write_with_tfds(
        "my_set", CLASSES, with_objects, tmp_path / "tfds", {"objects": tfds.features.Sequence(one)}
    )
    write_ours(images, tmp_path / "ours", annotate=annotate)
    for path in sorted(expected.iterdir()):
        if ".tfrecord-" in path.name:
            raw = tf.data.TFRecordDataset(str(tmp_path / "ours" / path.name)).as_numpy_iterator()
            assert list(raw) == records_of(path)
        elif path.name == "features.json":
            assert json.loads((tmp_path / "ours" / path.name).read_text()) == json.loads(path.read_text())
        else:
            assert (tmp_path / "ours" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_bytes_of_the_records_do_not_depend_on_the_process(tmp_path):
    """The features of TFDS's records are in an order that protobuf changes; those of ours are sorted by name."""
    write_ours({"train": make_images(3, "train"), "validation": make_images(3, "validation")}, tmp_path / "out", "x")
    content = (tmp_path / "out" / "x-train.tfrecord-00000-of-00001").read_bytes()
    assert content.index(b"file_name") < content.index(b"image") < content.index(b"label")


def test_a_record_file_without_records_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_utils.ShardConfig, "min_shard_size", 4_000)
    images = make_images(40, "train")
    pieces = Pieces.collect(Piece(key, label, len(data), 0) for key, data, label in images)
    order, ends = records.record_order("train", pieces), records.shard_ends(pieces)
    assert len(ends) == 8
    for number in order[ends[0] : ends[1]]:  # every image of the second file is damaged
        key, data, label = images[number]
        images[number] = (key, data[:-40], label)
    splits = {
        split: make_split([image[:2] for image in some], [image[2] for image in some])
        for split, some in {"train": images, "validation": images[:3]}.items()
    }
    good = {number for number in range(40) if number not in order[ends[0] : ends[1]]}
    options = PrepareOptions(output_dir=str(tmp_path / "out"), num_workers=1, skip_bad_images=True)
    write_dataset(Source("x", "Test.", CLASSES, CLASSES, splits), options)
    assert set(read(tmp_path / "out", "train")) == {images[number][0] for number in good}
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["splits"][0]["shardLengths"][1] == "0"


def test_names_of_data_sets():
    source = Source("Meine Blüten (2)", "", ["a"], ["a"], {})
    assert records.dataset_name(source) == "meine_blüten_2"
    assert records.shard_name(source, "train", 3, 16) == "meine_blüten_2-train.tfrecord-00003-of-00016"


def test_listing_takes_little_memory():
    pieces = Pieces.collect(
        Piece(f"n01440764_{number}.JPEG", number % 1000, 110_000, number) for number in range(10_000)
    )
    columns = (pieces.ends, pieces.labels, pieces.sizes, pieces.marks)
    assert (len(pieces.names) + sum(column.nbytes for column in columns)) / len(pieces) < 50
    assert pieces[1234] == Piece("n01440764_1234.JPEG", 234, 110_000, 1234)
    assert list(pieces)[-1] == pieces[9_999]
    with pytest.raises(IndexError):
        pieces[10_000]
    np.testing.assert_array_equal(pieces.name_sizes[:2], [16, 16])
