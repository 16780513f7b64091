"""Tests that two workers sum their gradients, in float32 as one device would, in bfloat16 up to its precision."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from tests.helpers.paths import ROOT
from tests.helpers.train_steps import make
from tests.helpers.worker_step import make_batch
from tests.helpers.workers import free_ports
from vgg_keras.training import all_reduce


def test_one_device_keeps_its_gradients():
    gradients = [tf.constant([1.00390625, 2.0])]  # 1 + 2**-8, which bfloat16 cannot hold
    assert all_reduce.sum_over_devices(gradients, "bfloat16")[0] is gradients[0]


def changes_of_two_workers(folder, dtype):
    """Does a step in two worker processes; returns the changes of the weights in each."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    files = [folder / f"{dtype}{index}.npz" for index in (0, 1)]
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in (0, 1)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.worker_step", dtype, str(file)],
            cwd=ROOT,
            env={**os.environ, "TF_CONFIG": json.dumps(task)},
            stderr=subprocess.PIPE,
        )
        for file, task in zip(files, tasks, strict=True)
    ]
    for process in processes:
        _, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr.decode()
    return [list(np.load(file).values()) for file in files]


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.generations
def test_two_workers_sum_their_gradients(tmp_path):
    model = small()
    before = [variable.numpy() for variable in model.trainable_variables]
    step = make(model, learning_rate=1.0)
    step.train({name: tf.constant(values) for name, values in make_batch().items()}, 0)
    expected = [old - new.numpy() for old, new in zip(before, model.trainable_variables, strict=True)]

    first, second = changes_of_two_workers(tmp_path, "float32")
    for wanted, found, other in zip(expected, first, second, strict=True):
        np.testing.assert_array_equal(found, other)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-6)

    rounded, second = changes_of_two_workers(tmp_path, "bfloat16")
    for exact, found, other in zip(first, rounded, second, strict=True):
        np.testing.assert_array_equal(found, other)
        assert 0 < np.linalg.norm(found - exact) < 2**-7 * np.linalg.norm(exact)
