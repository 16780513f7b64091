"""Tests the record and the flag file in a run's folder."""

import pytest

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.runs import assert_same_weights
from vgg_keras.tasks import training
from vgg_keras.training import run_dir
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse


@pytest.mark.parametrize("value", ["my photos", "drawn#1", "it's", "a\\b", 'with "quotes"', "Blüten", "$HOME"])
def test_the_flag_file_repeats_the_run(value, tmp_path):
    options = TrainConfig(
        output_dir=tmp_path / value, data_dir=value, optimizer_args='{"global_clipnorm": 1}', batch_norm=True, epochs=3
    )
    run_dir.write_run_record(tmp_path / "run", options.flags(), {}, {})
    assert parse([f"--flagfile={tmp_path / 'run' / 'flags.cfg'}"], TrainConfig) == options


def test_the_flag_file_repeats_a_finished_run_that_was_resumed_in_another_folder(tmp_path, drawn_data):
    common = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path / 'run'}"]
    for steps in (2, 4):
        training.train_model(parse([*common, "--resume", f"--max_steps={steps}"], TrainConfig))
    repeat = [f"--flagfile={tmp_path / 'run' / 'flags.cfg'}", f"--output_dir={tmp_path / 'again'}"]
    training.train_model(parse(repeat, TrainConfig))
    assert_same_weights(tmp_path / "again", tmp_path / "run")


def test_a_run_is_not_resumed_on_other_data(tmp_path):
    described = {"the classes": ["daisy", "rose"], "the number of photos in train": 9}
    run_dir.require_same_data(tmp_path, described)  # a run that has not begun
    run_dir.write_run_record(tmp_path, {}, {}, {}, described)
    run_dir.require_same_data(tmp_path, described)
    message = (
        r"holds a run on other data \(the classes was \['daisy', 'rose'\], is \['daisy', 'tulip'\]; "
        r"the number of photos in train was 9, is 8\): name the data set that it was begun with, or start a new "
    )
    with pytest.raises(UserError, match=message):
        run_dir.require_same_data(tmp_path, {"the classes": ["daisy", "tulip"], "the number of photos in train": 8})


def test_checkpoints_without_the_record_of_their_run_are_not_used(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"holds the checkpoints of a run without its run\.json: bring that back"):
        run_dir.require_usable(TrainConfig(output_dir=tmp_path, resume=True))
