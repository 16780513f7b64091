"""Tests the folder of checkpoints."""

import tensorflow as tf

from tests.helpers.nets import small
from vgg_keras.training import checkpoints
from vgg_keras.training.optimizers import OptimizerConfig, make_optimizer
from vgg_keras.training.schedules import Plateau


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path):
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).touch()
    (tmp_path / "ckpt-3_temp").mkdir()
    (tmp_path / "ckpt-3_temp" / "part").touch()
    checkpoints.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt-1.data-00000-of-00001", "ckpt-1.index"]


def test_checkpoints_keep_the_names_by_which_earlier_versions_saved_them(tmp_path):
    model = small(width_multiplier=1 / 64)
    optimizer = make_optimizer(OptimizerConfig("sgd", 1e-3), model.trainable_variables)
    progress = checkpoints.Progress(Plateau(patience=5), global_step=7)
    checkpoints.Checkpoints(tmp_path, model, [optimizer], progress).save(progress)
    names = {name.partition("/")[0] for name, _ in tf.train.list_variables(str(tmp_path / "ckpt-7"))}
    assert names == {"model", "optimizers", "progress", "save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH"}
