"""Trains on photos that the processes of a `tf.data` service decode, of which one is killed."""

import signal
import socket

import numpy as np
import pytest

from tests.helpers import runs
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.processes import start_verb
from tests.helpers.verbs import call_verb
from vgg_keras import train
from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.data_service import DataService
from vgg_keras.data.input_pipeline import Augmentation, Share
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.service_address import ServiceAddress

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


def line_of(process, start: str) -> str:
    """Returns the next line of a verb's output that starts so."""
    for line in process.stdout:
        if line.startswith(start):
            return line.strip()
    raise AssertionError(process.stderr.read())


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Yields a service's address, its dispatcher, which works too, and its other worker."""
    folder = tmp_path_factory.mktemp("service")
    processes = [start_verb("vgg_keras.data_service", "--port=0", "--host=localhost", cwd=folder)]
    try:
        url = line_of(processes[0], "the dispatcher is ready").rpartition("=")[2]
        processes.append(start_verb("vgg_keras.data_service", f"--dispatcher={url}", "--host=localhost", cwd=folder))
        for process in processes:
            line_of(process, f"working for {url}")
        yield url, *processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def run(data, folder, *flags):
    arguments = [f"--flagfile={TINY_CONFIG}", "--epochs=2", "--precision=float32", f"--data_dir={data}"]
    call_verb(train.main, [*arguments, f"--output_dir={folder}", *flags], TrainConfig)


def test_training_has_the_bits_that_it_has_without_the_service(service, drawn_data, tmp_path):
    url, *_ = service
    run(drawn_data, tmp_path / "plain", "--max_steps=10")
    run(drawn_data, tmp_path / "service", "--max_steps=5", f"--data_service={url}")
    run(drawn_data, tmp_path / "service", "--max_steps=10", "--resume", f"--data_service={url}")
    assert runs.history(tmp_path / "service") == runs.history(tmp_path / "plain")
    runs.assert_same_weights(tmp_path / "service", tmp_path / "plain")


def test_batches_are_the_same_while_a_worker_is_killed(service, drawn_data):
    url, dispatcher, worker = service
    data = datasets.open_data(str(drawn_data))
    arguments = {"seed": 1, "epoch": 0, "batch_size": 4, "per_replica_batch": 1, "share": Share(1, 2)}
    epoch = data, "train", Augmentation(32, (32, 48), RgbStatistics.load(drawn_data))
    expected = list(input_pipeline.training_epoch(*epoch, **arguments).as_numpy_iterator())
    assert len(expected) == 30
    client = DataService(ServiceAddress.parse("data_service", url), 300, late_after=5)
    received = client.telling_failures(client.training_epoch(*epoch, **arguments).as_numpy_iterator())
    for index, batch in enumerate(expected):
        found = next(received)
        assert found.keys() == batch.keys()
        for name, values in batch.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        if index == 4:
            worker.kill()
            worker.communicate()
    # The next epoch begins in its middle, with the worker that is left.
    later = dict(arguments, epoch=1, first_step=12)
    expected = input_pipeline.training_epoch(*epoch, **later).as_numpy_iterator()
    received = client.training_epoch(*epoch, **later).as_numpy_iterator()
    for batch, found in zip(expected, received, strict=False):
        np.testing.assert_array_equal(found["image"], batch["image"])
    # The service ends like every verb.
    dispatcher.send_signal(signal.SIGTERM)
    _, stderr = dispatcher.communicate(timeout=120)
    assert dispatcher.returncode == 75
    assert stderr.endswith("stopped by SIGTERM; training computes itself what it misses\n")


def test_a_worker_that_waits_for_its_dispatcher_can_be_stopped(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        silent.settimeout(120)
        url = f"grpc://127.0.0.1:{silent.getsockname()[1]}"
        process = start_verb("vgg_keras.data_service", f"--dispatcher={url}", cwd=tmp_path)
        connections = [silent.accept()[0] for _ in range(2)]  # of the verb, which looks for a server, and of TensorFlow
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        for connection in connections:
            connection.close()
    assert process.returncode == -signal.SIGTERM
