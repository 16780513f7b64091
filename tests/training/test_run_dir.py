"""Tests the flag file in a run's folder."""

import pytest

from vgg_keras.training import run_dir
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.options import parse


@pytest.mark.parametrize("value", ["my photos", "drawn#1", "it's", "a\\b", 'with "quotes"', "Blüten", "$HOME"])
def test_the_flag_file_repeats_the_run(value, tmp_path):
    options = TrainConfig(
        output_dir=tmp_path / value, data_dir=value, optimizer_args='{"global_clipnorm": 1}', batch_norm=True, epochs=3
    )
    run_dir.write_run_record(tmp_path / "run", options.flags(), {}, {})
    assert parse([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"], TrainConfig) == options
