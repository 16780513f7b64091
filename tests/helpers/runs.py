"""Reads what two equal runs have in common."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.models.run_record import TIMING_KEYS, read_history


def history(run: Path) -> list[dict]:
    """Returns the entries of a run's history, without its times."""
    return [{key: value for key, value in entry.items() if key not in TIMING_KEYS} for entry in read_history(run)]


def weights(run: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a run's newest checkpoint: the model and its optimizers."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    # The order of names in the object graph is arbitrary; the progress is compared by way of the history.
    names = [name for name in reader.get_variable_to_shape_map() if "progress" not in name and "GRAPH" not in name]
    return {name: reader.get_tensor(name) for name in names}


def assert_same_weights(run: Path, expected: Path) -> None:
    """Asserts that the newest checkpoints of two runs hold the same bits."""
    found, wanted = weights(run), weights(expected)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
