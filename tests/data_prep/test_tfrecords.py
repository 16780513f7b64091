"""Tests the writing of records without TensorFlow, against TensorFlow and published checksums."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep import tfrecords


@pytest.mark.parametrize(
    ("data", "expected"),
    # RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_checksums(data, expected):
    assert tfrecords.crc32c(data) == expected


def bitwise_crc32c(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


# The lengths lie around those of the short loop, of a block, of several blocks, and of those that are folded, in less
# than one step of 5685 - 1362 bytes, in one, and in several.
@pytest.mark.parametrize(
    "length", [1, 3, 31, 32, 33, 35, 511, 512, 513, 515, 1024, 5684, 5685, 5686, 5689, 10007, 10008, 10009, 40_000]
)
def test_checksums_of_all_lengths(length):
    data = np.random.default_rng(length).bytes(length)
    assert tfrecords.crc32c(data) == bitwise_crc32c(data)


def test_the_sparse_multiple_is_one():
    polynomial, value = 0x1_1EDC_6F41, sum(1 << exponent for exponent in tfrecords._SPARSE_MULTIPLE)
    while value.bit_length() >= polynomial.bit_length():
        value ^= polynomial << value.bit_length() - polynomial.bit_length()
    assert value == 0


def test_a_file_of_records_is_the_one_that_tensorflow_writes(tmp_path):
    records = [np.random.default_rng(length).bytes(length) for length in (0, 1, 40, 600, 131_072, 131_073, 400_000)]
    with tf.io.TFRecordWriter(str(tmp_path / "expected")) as writer:
        for record in records:
            writer.write(record)
    written = b"".join(map(tfrecords.frame, records))
    assert written == (tmp_path / "expected").read_bytes()
    assert len(written) == sum(map(len, records)) + 16 * len(records)


@pytest.mark.parametrize(
    ("size", "label", "name"),
    # The sizes lie around those at which a length needs one more byte.
    [(0, 0, ""), (1, -1, "a"), (117, 127, "a/b.jpg"), (118, 128, "ä"), (127, 1, "x" * 127), (128, 999, "x" * 128),
     (16_383, 5, "x" * 118), (16_384, 16_384, "x"), (2_097_152, 70_000, "x" * 16_384)],
)  # fmt: skip
def test_examples(size, label, name):
    image_bytes = np.random.default_rng(size).bytes(size)
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image_bytes])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "file_name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
    }
    expected = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)
    assert tfrecords.example({"image": image_bytes, "label": [label], "file_name": name.encode()}) == expected
    sizes = tfrecords.example_sizes(
        np.array([size, 10]), np.array([label, 3], np.int32), np.array([len(name.encode()), 4])
    )
    assert sizes[0] == len(expected)
