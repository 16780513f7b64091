"""Tests that broken, missing and surplus records are named: the shard, the record, and the counts."""

import re
import shutil
import types
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.helpers.mutations import mutate
from vgg_keras.data import datasets, input_pipeline, shards
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.tasks import training
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.channel import Channel
from vgg_keras.utils.errors import UserError

TRAIN = "drawn_flowers-train.tfrecord-00000-of-00001"


@pytest.fixture
def folder(drawn_data, tmp_path):
    shutil.copytree(drawn_data, tmp_path / "data")
    return tmp_path / "data"


def read_records(path):
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def write_records(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def changed(record, key, value):
    """Returns a record with another integer in a feature, or without the feature if the value is None."""
    example = tf.train.Example.FromString(record)
    if value is None:
        del example.features.feature[key]
    else:
        example.features.feature[key].int64_list.value[:] = value
    return example.SerializeToString()


def flipped(records, folder):
    write_records(folder / TRAIN, records)
    content = bytearray((folder / TRAIN).read_bytes())
    content[8 + 4 + len(records[0]) + 4 + 100] ^= 1  # a record is 8 bytes of length, 4 of CRC, the data, 4 of CRC
    (folder / TRAIN).write_bytes(content)


def replaced(index, key, value):
    return lambda records, folder: write_records(
        folder / TRAIN, [*records[:index], changed(records[index], key, value), *records[index + 1 :]]
    )


DAMAGES = {
    "short": (lambda records, folder: write_records(folder / TRAIN, records[:50]), "50 records, should be 60"),
    "empty": (lambda records, folder: (folder / TRAIN).write_bytes(b""), "0 records, should be 60"),
    "long": (lambda records, folder: write_records(folder / TRAIN, records + records[:3]), "63 records, should be 60"),
    "no label": (replaced(4, "label", None), "record 4 has 0 labels, should have one"),
    "two labels": (replaced(4, "label", [1, 2]), "record 4 has 2 labels, should have one"),
    "a high label": (replaced(5, "label", [9]), "record 5 has label 9, of 5 classes"),
    "a low label": (replaced(5, "label", [-2]), "record 5 has label -2, of 5 classes"),
    "no image": (replaced(2, "image", None), "record 2 does not decode: .*image.* is required"),
    "a flipped bit": (flipped, "record 1 is damaged: corrupted record"),
}


def pass_of_training(data):
    augmentation = input_pipeline.Augmentation(32, (32, 40), datasets.load_rgb_statistics(data, "train"))
    list(shards.read(data, input_pipeline.training_epoch(data, "train", augmentation, seed=1, epoch=0, batch_size=16)))


READERS = {"training": pass_of_training, "testing": lambda data: SplitManifest.read(data, "train")}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_broken_record_is_named(damage, reader, folder):
    break_it, problem = DAMAGES[damage]
    break_it(read_records(folder / TRAIN), folder)
    data = datasets.open_data(folder)
    message = rf"^{folder}: {TRAIN}: {problem}.*; python -m data_prep\.verify --data_dir={folder} lists all"
    with pytest.raises(UserError, match=message):
        READERS[reader](data)


def test_what_fails_outside_of_reading_is_not_blamed_on_the_records(folder):
    # Such as a writer of TensorFlow's, whose errors are of the same classes.
    error = tf.errors.FailedPreconditionError(None, None, "run/tensorboard is not a directory")
    write = Mock(side_effect=error)
    with pytest.raises(tf.errors.FailedPreconditionError) as caught:
        list(map(write, shards.read(datasets.open_data(folder), [0, 1])))
    assert caught.value is error


def options(folder, **arguments):
    return TrainConfig(data_dir=folder, output_dir=folder / "run", **arguments)


def test_a_missing_shard_is_named_before_the_work_begins(folder):
    (folder / TRAIN).unlink()
    message = rf"missing record files of split 'train': 1, such as {TRAIN}; copy them there, or prepare"
    with pytest.raises(UserError, match=message):
        training.open_data(options(folder), Channel(None))
    with pytest.raises(UserError, match=message):
        SplitManifest.read(datasets.open_data(folder), "train")
    assert len(SplitManifest.read(datasets.open_data(folder), "validation")) == 35


def test_splits_that_share_records(folder):
    data = datasets.open_data(str(folder))
    assert not shards.share_records(data, ["train", "validation"])
    assert not shards.share_records(data, ["train[:50%]", "train[50%:]"])
    assert shards.share_records(data, ["train[:51%]", "train[50%:]"])
    assert shards.share_records(data, ["train+validation", "validation"])


def test_a_split_without_labels(folder):
    records = read_records(folder / TRAIN)
    write_records(folder / TRAIN, [changed(record, "label", [-1]) for record in records])
    data = datasets.open_data(folder)
    for use in (lambda: training.open_data(options(folder), Channel(None)), lambda: SplitManifest.read(data, "train")):
        with pytest.raises(UserError, match=r"split 'train' has no labels, so a net can neither learn from it nor"):
            use()
    # A single one among others is found when it is read; other uses, such as a list of the photos, may have it.
    write_records(folder / TRAIN, [*records[:7], changed(records[7], "label", [-1]), *records[8:]])
    assert sum(example["label"] == -1 for example in data.encoded("train").as_numpy_iterator()) == 1
    with pytest.raises(UserError, match=r"a record cannot be read \(.*a label that is not one of the 5 classes"):
        pass_of_training(data)
    with pytest.raises(UserError, match=r"split 'train' has no labels|not one of the 5"):
        SplitManifest.read(data, "train")


def test_a_batch_larger_than_the_split(folder, capsys):
    from vgg_keras.utils import console

    with console.speaking(True):
        training.open_data(options(folder, batch_size=60), Channel(None))
        assert capsys.readouterr().err == ""
        training.open_data(options(folder, batch_size=256), Channel(None))
    warning = capsys.readouterr().err
    assert "--batch_size=256 is more than the 60 photos in train: an epoch is one step, in which some" in warning
    assert "are seen 5 times; take --batch_size=60 or less" in warning


@pytest.mark.parametrize(
    ("batch_size", "line"),
    [
        (16, "the last batch of an epoch is filled up with its first 4 photos, so an epoch counts 64 photos\n"),
        (59, "the last batch of an epoch is filled up with its first 58 photos, so an epoch counts 118 photos\n"),
        (20, ""),
        (256, ""),  # which `open_data` warns of
    ],
)
def test_the_run_tells_why_an_epoch_counts_more_photos_than_there_are(batch_size, line, folder, capsys):
    from vgg_keras.utils import console

    model = types.SimpleNamespace(count_params=lambda: 7)
    with console.speaking(True):
        training.show_run(options(folder, batch_size=batch_size), datasets.open_data(folder), model, {"one": "two"})
    printed = capsys.readouterr().out
    assert printed.startswith("net D, 7 parameters; 5 classes; 60 photos in train, ")
    assert printed.partition("validation\n")[2] == f"{line}one: two\n"


def test_label_names_of_another_length(folder):
    (folder / "label_names.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"label_names\.txt names 2 classes, the data set has 5; restore it"):
        datasets.open_data(folder)


def test_a_single_class(tmp_path):
    image = np.zeros((40, 40, 3), np.uint8)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="one",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["rose"]),
            }
        ),
        split_datasets={split: [(0, {"image": image, "label": 0})] for split in ("train", "validation")},
        data_dir=tmp_path,
    )
    with pytest.raises(UserError, match=r"has one class alone, rose; a net needs two classes or more"):
        training.open_data(options(tmp_path), Channel(None))


def damaged_records(folder, rng, count):
    """Damages some records of the training shard at random, each with a checksum that fits; returns their number."""
    records = read_records(folder / TRAIN)
    for index in rng.choice(len(records), size=count, replace=False):
        records[index] = mutate(records[index], rng)
    write_records(folder / TRAIN, records)


def first_line_of_error(use, data):
    try:
        use(data, "train")
    except UserError as error:
        return str(error)
    return f"{data.builder.data_dir}: nothing is wrong; go on"


FUZZ_SEEDS = [pytest.param(range(10), id="few"), pytest.param(range(10, 410), id="many", marks=pytest.mark.fuzz)]


@pytest.mark.parametrize("seeds", FUZZ_SEEDS)
def test_records_damaged_at_random_end_in_one_line(seeds, folder, drawn_data):
    for seed in seeds:
        shutil.copy(drawn_data / TRAIN, folder / TRAIN)
        damaged_records(folder, np.random.default_rng(seed), 5)
        data = datasets.open_data(folder)
        for use in (SplitManifest.read, lambda data, split: pass_of_training(data)):
            message = first_line_of_error(use, data)
            assert re.fullmatch(rf"{folder}: .*; .*", message), seed  # the dot matches no end of a line
