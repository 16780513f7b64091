"""Tests the suggestions in error messages."""

import pytest

from vgg_keras.utils.errors import did_you_mean, near_name


@pytest.mark.parametrize(
    ("name", "near"),
    [("lr", "learning_rate"), ("bs", "batch_size"), ("batchsize", "batch_size"), ("EPOCHS", "epochs"), ("xyz", None)],
)
def test_near_names(name, near):
    assert near_name(name, ["learning_rate", "batch_size", "epochs", "net"]) == near


def test_did_you_mean():
    assert did_you_mean("adamm", ["sgd", "adam"], "--optimizer=") == "; did you mean --optimizer=adam?"
    assert did_you_mean("xyz", ["sgd", "adam"]) == ""
