"""Tests the suggestion of names."""

import doctest

import pytest

from vgg_keras.utils import near_names


def test_the_example():
    assert doctest.testmod(near_names) == (0, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roses", "; did you mean 'rose'?"),
        ("daisy", "; did you mean 'Daisy'?"),
        ("tulip", ""),
        ("", ""),
    ],
)
def test_did_you_mean(name, expected):
    assert near_names.did_you_mean(name, ["rose", "Daisy"]) == expected
