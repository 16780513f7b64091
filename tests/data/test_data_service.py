"""Tests that elements of a `tf.data` service come in order and complete, and what is told of one that fails."""

import itertools
import threading
import time

import pytest

from vgg_keras.data import data_service, datasets, service_servers
from vgg_keras.data.data_service import Arrivals, DataService, in_order
from vgg_keras.data.input_pipeline import Augmentation
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.utils import console
from vgg_keras.utils.errors import LostWorkerError, UserError
from vgg_keras.utils.service_address import ServiceAddress


def ordered(numbers, arriving, most_ahead=3):
    """Returns the elements in order, those that were computed in capital letters, and what has not been read."""
    arrivals = iter([("abcdefgh".index(letter), letter) for letter in arriving])
    found = "".join(
        in_order(numbers, lambda missing: next(arrivals, None), lambda number: "ABCDEFGH"[number], most_ahead)
    )
    return found, "".join(letter for _, letter in arrivals)


@pytest.mark.parametrize(
    ("numbers", "arriving", "expected", "unread"),
    [
        (range(5), "abcde", "abcde", ""),
        (range(5), "bacde", "abcde", ""),
        (range(5), "dcbae", "Abcde", ""),  # three have come before a, which is dropped when it comes
        (range(5), "bcade", "abcde", ""),
        (range(5), "acde", "aBcde", ""),  # b never comes
        (range(5), "", "ABCDE", ""),
        (range(5), "ab", "abCDE", ""),  # all workers are gone
        (range(2, 5), "dec", "cde", ""),
        (range(5), "cdeab", "ABcde", "ab"),  # what is missing is computed as soon as three others are there
        (range(5), "efghabcd", "ABCDe", "habcd"),
    ],
)
def test_elements_come_in_order_and_what_is_missing_is_computed(numbers, arriving, expected, unread):
    assert ordered(numbers, arriving) == (expected, unread)


def test_whatever_the_order_every_element_comes_once():
    for arriving in itertools.permutations("abcde", 4):
        found, _ = ordered(range(5), arriving, most_ahead=2)
        assert found.lower() == "abcde"


def silence():
    return LostWorkerError("silent")


def test_a_thread_reads_and_tells_errors():
    def failing():
        yield 1
        raise UserError("broken")

    arrivals = Arrivals(lambda: [1, 2, 3], 60, 60, silence)
    assert [arrivals.take() for _ in range(5)] == [1, 2, 3, None, None]
    arrivals = Arrivals(failing, 60, 60, silence)
    assert arrivals.take() == 1
    with pytest.raises(UserError, match="broken"):
        arrivals.take()


def test_an_item_that_is_late_is_not_waited_for_again():
    free = threading.Event()

    def blocking():
        yield 1
        free.wait()
        yield 2

    arrivals = Arrivals(blocking, 0.1, 600, silence)
    assert [arrivals.take() for _ in range(1000)] == [1] + 999 * [None]  # all but the first wait would last 100 s
    free.set()
    deadline = time.monotonic() + 60
    while (found := arrivals.take()) is None:
        assert time.monotonic() < deadline
    assert found == 2
    assert arrivals.take() is None


def test_a_thread_that_is_blocked_is_given_up():
    free = threading.Event()
    arrivals = Arrivals(lambda: iter(free.wait, True), 60, 0.1, silence)
    with pytest.raises(LostWorkerError, match="silent"):
        arrivals.take()
    free.set()


def test_the_items_that_a_lost_worker_held_are_no_silence():
    free = threading.Event()

    def with_a_lost_worker():
        yield 1
        free.wait()

    arrivals = Arrivals(with_a_lost_worker, 0.2, 0.1, silence, most_lost=2)
    assert arrivals.take(3) == 1
    assert arrivals.take(2) is None
    time.sleep(0.2)  # as long as the caller computes something
    assert arrivals.take(1) is None
    with pytest.raises(LostWorkerError, match="silent"):
        arrivals.take(3)
    free.set()


def test_where_nothing_has_come_nobody_works():
    free = threading.Event()
    arrivals = Arrivals(lambda: iter(free.wait, True), 60, 0.1, silence, most_lost=2)
    with pytest.raises(LostWorkerError, match="silent"):
        arrivals.take(2)
    free.set()


def test_a_thread_whose_items_nobody_wants_ends():
    before = set(threading.enumerate())
    arrivals = Arrivals(itertools.count, 60, 60, silence)
    assert [arrivals.take() for _ in range(3)] == [0, 1, 2]
    (thread,) = set(threading.enumerate()) - before
    arrivals.close()
    thread.join(60)
    assert not thread.is_alive()


def read(service, data):
    """Returns the batches of an epoch, the last of which is repeated without end."""
    augmentation = Augmentation(32, (32, 48), RgbStatistics.load(data))
    batches = service.training_epoch(
        datasets.open_data(str(data)), "train", augmentation, seed=1, epoch=0, batch_size=8
    )
    return service.telling_failures(batches)


def read_first(service, data):
    return next(iter(read(service, data)))


def test_a_dispatcher_without_workers_is_told_in_one_line(drawn_data):
    with service_servers.dispatching(0) as port:
        service = DataService(ServiceAddress("data_service", "localhost", port), 2)
        with pytest.raises(LostWorkerError) as told:
            read_first(service, drawn_data)
    assert str(told.value) == (
        f"--data_service=grpc://localhost:{port} has delivered nothing for 2 seconds: start its dispatcher and its "
        "workers again, and then this command with --resume; or leave the flag out"
    )


def test_an_error_of_a_worker_is_told_in_one_line(drawn_data, monkeypatch):
    def refuse(*arguments, **named):
        raise data_service.tf.errors.NotFoundError(None, None, "/elsewhere/train-00000; No such file or directory")

    monkeypatch.setattr(data_service.tf.data.experimental.service, "distribute", refuse)
    monkeypatch.setattr(ServiceAddress, "wait", lambda address, timeout: None)
    with pytest.raises(UserError) as told:
        read_first(DataService(ServiceAddress("data_service", "localhost", 5050), 60), drawn_data)
    assert str(told.value) == (
        "--data_service=grpc://localhost:5050 cannot compute the batches: /elsewhere/train-00000; No such file or "
        "directory. Its workers need the data set under the same path as this process, and the same version of "
        "TensorFlow"
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "NotFoundError",
            "Unknown iteration client id 7. The iteration client could be caused by a dispatcher restart",
        ),
        ("FailedPreconditionError", "The requested iteration has been garbage collected due to inactivity."),
    ],
)
def test_a_dispatcher_that_was_started_anew_is_a_lost_one(drawn_data, monkeypatch, kind, message):
    def forget(*arguments, **named):
        raise getattr(data_service.tf.errors, kind)(None, None, message)

    monkeypatch.setattr(data_service.tf.data.experimental.service, "distribute", forget)
    monkeypatch.setattr(ServiceAddress, "wait", lambda address, timeout: None)
    with pytest.raises(
        LostWorkerError, match=r"^the dispatcher of --data_service=grpc://localhost:5050 has been start"
    ):
        read_first(DataService(ServiceAddress("data_service", "localhost", 5050), 60), drawn_data)


def test_a_part_that_does_not_come_is_told_when_it_is_computed_and_at_the_end(drawn_data, monkeypatch, capsys):
    def without_the_second(*arguments, **named):
        return lambda elements: elements.filter(lambda element: element["position"][0] != 8)  # the second batch

    monkeypatch.setattr(data_service.tf.data.experimental.service, "distribute", without_the_second)
    monkeypatch.setattr(ServiceAddress, "wait", lambda address, timeout: None)
    with console.speaking(True):
        service = DataService(ServiceAddress("data_service", "localhost", 5050), 60, late_after=60)
        for _ in itertools.islice(read(service, drawn_data), 9):
            pass
    assert capsys.readouterr().err.splitlines() == [
        "grpc://localhost:5050 is late with a part of epoch 1: what does not come is computed here",
        "grpc://localhost:5050 left out 1 of 8 parts of epoch 1, which were computed here: a worker of "
        "it, or its dispatcher, was slow, or lost",
    ]


def test_a_port_that_is_taken_is_told_in_one_line():
    with (
        service_servers.dispatching(0) as port,
        pytest.raises(UserError, match=f"--port={port}: no server can be started there"),
        service_servers.dispatching(port),
    ):
        pass
