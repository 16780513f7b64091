"""Tests that `data_prep.verify` finds damage in the files of a data set."""

import dataclasses
import functools
import re
import shutil

import pytest

from data_prep import verify
from data_prep.verify import VerifyOptions
from tests.helpers import odd_images
from tests.helpers.photos import encode, make_source, make_split, write
from tests.helpers.verbs import call_verb
from vgg_keras.data import decoding_check, transforms
from vgg_keras.utils.errors import UserError

decode = transforms.decode


@pytest.fixture
def data(drawn_data, tmp_path):
    shutil.copytree(drawn_data, tmp_path / "data")
    return tmp_path / "data"


def shard_of(data, split="train"):
    return data / f"drawn_flowers-{split}.tfrecord-00000-of-00001"


def run(data):
    call_verb(verify.main, [f"--data_dir={data}"], VerifyOptions)


def problems(data, capsys):
    with pytest.raises(UserError, match=r"problems? in 95 records \(listed above\)"):
        run(data)
    return capsys.readouterr().err


def record_starts(content):
    """Returns the offsets of the records: 8 bytes of length, 4 of its CRC, the data, 4 of the data's CRC."""
    starts, position = [], 0
    while position < len(content):
        starts.append(position)
        position += 8 + 4 + int.from_bytes(content[position : position + 8], "little") + 4
    return starts


def test_a_whole_data_set(data, capsys):
    run(data)
    stdout, stderr = capsys.readouterr()
    assert "95 records read, counted and decoded; all are whole" in stdout
    # In a log file the progress is lines.
    assert [line.partition(",")[0] for line in stderr.splitlines()] == [
        "train: 1 of 1 shards",
        "validation: 1 of 1 shards",
    ]


def test_a_flipped_bit_is_found_in_its_record(data, capsys):
    content = bytearray(shard_of(data).read_bytes())
    content[record_starts(content)[17] + 100] ^= 1
    shard_of(data).write_bytes(content)
    assert "train: drawn_flowers-train.tfrecord-00000-of-00001: record 17 is damaged" in problems(data, capsys)


def test_a_lost_record_is_counted(data, capsys):
    content = shard_of(data, "validation").read_bytes()
    shard_of(data, "validation").write_bytes(content[: record_starts(content)[34]])
    assert "34 records, should be 35" in problems(data, capsys)


def test_a_missing_shard(data, capsys):
    shard_of(data).unlink()
    assert "drawn_flowers-train.tfrecord-00000-of-00001: missing" in problems(data, capsys)


def test_an_image_that_does_not_decode(data, capsys):
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard_of(data)))]
    example = tf.train.Example.FromString(records[3])
    example.features.feature["image"].bytes_list.value[0] = b"not an image"
    records[3] = example.SerializeToString()
    with tf.io.TFRecordWriter(str(shard_of(data))) as writer:
        for record in records:
            writer.write(record)
    assert "record 3 does not decode" in problems(data, capsys)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("PNG palette 8", ""),
        ("BMP 8", "is decoded wrongly: its colours differ by "),
        ("GIF with a small frame", "is decoded wrongly: 4x4 pixels, and Pillow decodes 13x9"),
        ("BMP 4", "does not decode: "),
    ],
)
def test_an_image_that_tensorflow_reads_otherwise_than_pillow(kind, problem, monkeypatch):
    import tensorflow as tf

    plain = functools.partial(tf.io.decode_image, channels=3, expand_animations=False)
    monkeypatch.setattr(transforms, "decode", plain)
    (image,) = (image for image in odd_images.ALL if image.kind == kind)
    found = decoding_check.image_problem(image.content)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_the_photo_of_a_record_that_is_decoded_wrongly_is_named(data, capsys, monkeypatch):
    monkeypatch.setattr(transforms, "decode", lambda content: 255 - decode(content))
    message = (
        r"record 0 is decoded wrongly: its colours differ by [0-9.]+ of 255 levels on average from Pillow's \(\S+\)"
    )
    with pytest.raises(UserError, match="95 problems in 95 records"):
        run(data)
    assert re.search(message, capsys.readouterr().err)


def test_photos_that_stand_in_two_splits_are_told(tmp_path, capsys):
    flower, other = encode(seed=1), encode(seed=2)
    source = dataclasses.replace(
        make_source([]),
        splits={
            "train": make_split([("a", encode(seed=3)), ("b", flower), ("c", other)]),
            "validation": make_split([("v", encode(seed=4)), ("same as c", other), ("same as b", flower)]),
            "test": make_split([("t", encode(seed=5))]),
        },
    )
    write(source, tmp_path / "data")
    capsys.readouterr()
    run(tmp_path / "data")
    stdout, stderr = capsys.readouterr()
    assert "2 photos of train stand in validation too, such as b" in stderr
    assert stderr.count(" too") == 1
    assert "7 records read, counted and decoded; all are whole" in stdout
