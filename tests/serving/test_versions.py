"""Tests the folders of versions."""

import pytest

from vgg_keras.serving import versions
from vgg_keras.utils.errors import UserError


def test_versions_of_another_format_are_left_alone(tmp_path):
    (tmp_path / "4").mkdir()
    message = r"4 holds no saved_model\.pb: it is of another format; choose another --output_dir"
    with pytest.raises(UserError, match=message), versions.new_version(tmp_path, "saved_model.pb"):
        pass
    with pytest.raises(UserError, match=r"empty holds no version of a model; vgg_keras\.export makes one"):
        versions.newest(tmp_path / "empty")


def test_versions_are_folders_whose_names_are_decimal_digits(tmp_path):
    for name in ("2", "10", "\u00b2", "1a", "-1", "1" * 200):
        (tmp_path / name).mkdir()
    (tmp_path / "3").touch()
    assert versions.numbers(tmp_path) == [2, 10]
