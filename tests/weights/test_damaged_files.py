"""Damages files of weights of every kind at random: each is read, or refused in one line, without much memory."""

import resource

import numpy as np
import pytest

from tests.helpers import weight_files
from tests.helpers.mutations import mutate
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats

# Bytes by which the process may grow.
_MEMORY = 400 * 2**20


def read_damaged(name, seeds, folder):
    """Reads damaged copies of a file; returns how many of them are refused: other damage changes numbers alone."""
    path = folder / name
    weight_files.WRITERS[name](weight_files.tiny_state(), path)
    content = path.read_bytes()
    assert formats.read_weights(str(path), "A").net == "A"
    before, refusals = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, {}
    for seed in seeds:
        path.write_bytes(mutate(content, np.random.default_rng(seed)))
        try:
            formats.read_weights(str(path), "A")
        except UserError as error:
            refusals[seed] = str(error)
    assert {seed: text for seed, text in refusals.items() if name not in text or "\n" in text} == {}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < _MEMORY
    return len(refusals)


# The reading of HDF5 starts a process each time, and Keras builds a model.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("zip.pth", 60),
        ("legacy.pth", 60),
        ("tensors.safetensors", 60),
        ("older.h5", 3),
        ("named.weights.h5", 3),
        ("model.keras", 10),
    ],
)
def test_damaged_files(name, count, tmp_path):
    assert read_damaged(name, range(count), tmp_path) > count // 4


@pytest.mark.fuzz
@pytest.mark.parametrize("name", weight_files.WRITERS)
def test_many_damaged_files(name, tmp_path):
    assert read_damaged(name, range(1000, 1170), tmp_path) > 40  # with six kinds, 1,020 files
