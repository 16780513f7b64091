"""Tests the suggestions in error messages, and the messages about errors of the file system."""

import errno
import os
import resource

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.utils import files
from vgg_keras.utils.errors import did_you_mean, explain, near_name


@pytest.mark.parametrize(
    ("name", "near"),
    [("lr", "learning_rate"), ("bs", "batch_size"), ("batchsize", "batch_size"), ("EPOCHS", "epochs"), ("xyz", None)],
)
def test_near_names(name, near):
    assert near_name(name, ["learning_rate", "batch_size", "epochs", "net"]) == near


def test_did_you_mean():
    assert did_you_mean("adamm", ["sgd", "adam"], "--optimizer=") == "; did you mean --optimizer=adam?"
    assert did_you_mean("xyz", ["sgd", "adam"]) == ""


def explained(function):
    """Calls a function that fails, and returns what the user is told."""
    with pytest.raises((OSError, ValueError, tf.errors.OpError)) as caught:
        function()
    message = explain(caught.value)
    assert message is not None
    assert "\n" not in message
    return message


def write_record(path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"x" * 100_000)


@pytest.fixture
def small_files():
    """Limits the size of the files that this process writes, to 4 KB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: files.write_text(path, "x" * 100_000),
        lambda path: files.write_atomically(path, lambda temporary: np.save(temporary, np.zeros(100_000))),
        lambda path: files.write_atomically(path, lambda temporary: np.savez(temporary, x=np.zeros(100_000))),
        write_record,
    ],
)
def test_a_file_that_becomes_too_large(write, tmp_path, small_files):
    message = explained(lambda: write(tmp_path / "x.npz"))
    assert "became larger than the system allows" in message or "the disk is full" in message


def test_a_full_disk():
    def fill():
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)

    assert explained(fill).startswith("the disk is full ([Errno 28] No space left on device); free some space, or ch")
    assert "the disk is full" in str(explain(OSError("1000 requested and 12 written")))
    assert explain(OSError("1000 requested, 12 granted")) is None


def test_other_errors_of_the_file_system(tmp_path):
    (tmp_path / "file").touch()
    assert f"{tmp_path}/file/x: Not a directory; choose another path" in explained((tmp_path / "file" / "x").mkdir)
    assert "File name too long; choose another path" in explained((tmp_path / ("n" * 300)).touch)
    assert "the file system is read only" in str(explain(OSError(errno.EROFS, os.strerror(errno.EROFS), "x")))
    assert "Not a directory" in explained(lambda: write_record(tmp_path / "file" / "x"))
    assert "File name too long" in explained(lambda: write_record(tmp_path / ("n" * 300)))


def test_a_file_in_the_place_of_a_folder_of_tensorflows_writers(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "x.index").mkdir()
    message = f"{tmp_path}/file is not a directory; choose another path, or remove what is in the way"
    assert explained(lambda: tf.summary.create_file_writer(str(tmp_path / "file" / "x"))) == message
    checkpoint = tf.train.Checkpoint(variable=tf.Variable(1.0))
    assert explained(lambda: checkpoint.write(str(tmp_path / "file" / "x"))) == message
    message = f"{tmp_path}/x.index; Is a directory; choose another path, or remove what is in the way"
    assert explained(lambda: checkpoint.write(str(tmp_path / "x"))) == message
