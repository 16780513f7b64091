"""Tests the bounds on what a small file may make the package allocate."""

import zipfile

import h5py
import numpy as np
import pytest

from vgg_keras.utils import file_bounds


def test_proportion():
    file_bounds.require_in_proportion(64 * 2**20 + 16 * 1000, 1000)
    with pytest.raises(ValueError, match="it declares 67,124,865 bytes of content, but has only 1,000 bytes itself"):
        file_bounds.require_in_proportion(64 * 2**20 + 16 * 1000 + 1, 1000)


def test_a_zip_bomb(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(70_000_000))
    with pytest.raises(ValueError, match="it declares 70,000,000 bytes of content"):
        file_bounds.open_zip(tmp_path / "bomb.zip")


def test_hdf5_that_declares_more_than_it_has(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("layer/huge", (2**20, 2**20), "f4", chunks=(64, 64))
    size = (tmp_path / "a.h5").stat().st_size
    assert size < 10_000
    with (
        h5py.File(tmp_path / "a.h5") as file,
        pytest.raises(ValueError, match=r"it declares 4,398,046,511,104 bytes of content"),
    ):
        file_bounds.require_bounded_hdf5(file, size)


def test_hdf5_that_takes_its_numbers_from_elsewhere(tmp_path):
    np.arange(4, dtype=np.float32).tofile(tmp_path / "secret")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("group/d", (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["group/d"] = h5py.ExternalLink(str(tmp_path / "a.h5"), "group/d")
    for name, message in (("a.h5", "group/d is kept in another file"), ("b.h5", "group links to something outside")):
        with h5py.File(tmp_path / name) as file, pytest.raises(ValueError, match=message):
            file_bounds.require_bounded_hdf5(file, 1000)


def test_json_that_is_nested_too_deeply():
    assert file_bounds.parse_json(b'{"a": [1]}') == {"a": [1]}
    for text in ("[" * 100_000, "{", b"\xff\xfe"):
        with pytest.raises(ValueError, match=r"nested too deeply|Expecting|codec"):
            file_bounds.parse_json(text)
