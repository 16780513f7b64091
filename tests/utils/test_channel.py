"""Tests how the workers of a cluster meet, agree, and stop together; they are threads here, without TensorFlow."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.workers import free_ports, make_clusters, run_workers
from vgg_keras.utils import meeting, stopping
from vgg_keras.utils.channel import Channel
from vgg_keras.utils.errors import BrokenClusterError, LostWorkerError, UserError


def test_all_get_the_chiefs_value_and_everybodys():
    def body(mine):
        return lambda channel: (channel.chief, channel.agree("first", mine), channel.gather("second", mine + "!"))

    results = run_workers(make_clusters(3), [body("x"), body("y"), body("z")])
    assert results == [(chief, "x", ["x!", "y!", "z!"]) for chief in (True, False, False)]


def test_a_process_alone_agrees_with_itself():
    channel = Channel(None)
    assert (channel.chief, channel.agree("name", "value")) == (True, "value")
    channel.compare("facts", {"--seed": 1})
    with pytest.raises(UserError, match="the folder is missing"):
        channel.require("folder", "the folder is missing")


def test_a_difference_stops_all_with_the_same_line():
    facts = [{"--seed": 1, "--net": "A"}, {"--seed": 1, "--net": "A"}, {"--seed": 2, "tensorflow": "2.15"}]
    clusters = make_clusters(3)
    errors = run_workers(clusters, [lambda channel, mine=mine: channel.compare("flags", mine) for mine in facts])
    line = (
        f"{clusters[0].tasks[2]}: --seed is 2, the chief has 1; --net is None, the chief has 'A'; "
        "tensorflow is '2.15', the chief has None"
    )
    assert [(type(error), str(error)) for error in errors] == [(BrokenClusterError, line)] * 3


@pytest.mark.parametrize("who", [0, 1])
def test_the_error_of_one_stops_the_others_who_name_it(who):
    def fail(channel):
        raise UserError("the data set is missing")

    bodies = [lambda channel: channel.agree("name", "value")] * 3
    bodies[who] = fail
    clusters = make_clusters(3)
    errors = run_workers(clusters, bodies)
    assert str(errors[who]) == "the data set is missing"
    others = {(type(error), str(error)) for place, error in enumerate(errors) if place != who}
    assert others == {(BrokenClusterError, f"{clusters[0].tasks[who]}: the data set is missing")}


@pytest.mark.parametrize("who", [0, 1])
def test_a_worker_that_is_interrupted_is_lost_to_the_others(who):
    def stop(channel):
        raise stopping.Stopped(signal.SIGTERM)

    bodies = [lambda channel: channel.agree("name", "value")] * 3
    bodies[who] = stop
    clusters = make_clusters(3)
    errors = run_workers(clusters, bodies)
    others = {(type(error), str(error)) for place, error in enumerate(errors) if place != who}
    line = f"{clusters[0].tasks[who]} was interrupted; start all workers again, with --resume"
    assert others == {(LostWorkerError, line)}


def test_an_error_that_is_a_bug_is_not_hidden_and_reaches_the_others():
    def fail(channel):
        raise ZeroDivisionError("division by zero")

    clusters = make_clusters(2)
    waiting, failed = run_workers(clusters, [lambda channel: channel.agree("name", "value"), fail])
    assert isinstance(failed, ZeroDivisionError)
    assert str(waiting) == f"{clusters[0].tasks[1]}: ZeroDivisionError: division by zero"


class _CollectiveError(Exception):
    """Looks like an error of TensorFlow."""

    error_code = 14


def test_the_channel_names_the_worker_whose_loss_tensorflow_reports():
    gone = threading.Event()

    def compute(channel):
        gone.wait(60)
        raise _CollectiveError("Collective ops is aborted by: Socket closed\nThe error could be from ...")

    def vanish(channel):
        channel._closing.set()
        channel._thread.join()
        for peer in channel._peers:
            peer.connection.close()
        channel._peers = []
        gone.set()

    clusters = make_clusters(3)
    chief, _, other = run_workers(clusters, [compute, vanish, compute])
    assert type(chief) is type(other) is LostWorkerError
    assert str(chief) == str(other)
    assert str(chief).startswith(f"{clusters[0].tasks[1]} is gone: its process was killed")
    assert "--resume" in str(chief)


def test_a_broken_connection_of_tensorflow_alone_is_one_line_too(monkeypatch):
    monkeypatch.setattr("vgg_keras.utils.channel._VERDICT_TIME", 0.1)

    def compute(channel):
        raise _CollectiveError("Collective ops is aborted by: Socket closed")

    clusters = make_clusters(2)
    errors = run_workers(clusters, [compute, compute])
    assert all("the connection to another worker broke (Collective ops is aborted by" in str(error) for error in errors)
    assert {type(error) for error in errors} == {LostWorkerError}


def test_a_silent_worker_is_lost_and_the_main_thread_is_freed():
    freed = threading.Event()

    def wait(channel):
        channel.on_failure(lambda failure: freed.set())
        assert freed.wait(60)
        channel.agree("name", "value")

    def be_silent(channel):
        channel._closing.set()
        channel._thread.join()
        assert freed.wait(60)

    clusters = make_clusters(2)
    error, _ = run_workers(clusters, [wait, be_silent], timeout=2)
    assert type(error) is LostWorkerError
    assert str(error).startswith(f"{clusters[0].tasks[1]} has not been heard of for 2 seconds (--worker_timeout)")


@pytest.mark.parametrize(("kind", "status"), [(LostWorkerError, 75), (BrokenClusterError, 1)])
def test_a_process_that_a_library_does_not_let_go_ends_with_the_status_of_its_failure(kind, status, monkeypatch):
    statuses = []
    monkeypatch.setattr("vgg_keras.utils.channel._GRACE", 0.0)
    monkeypatch.setattr(os, "_exit", statuses.append)

    def wait(channel):
        deadline = time.monotonic() + 60
        while not statuses and time.monotonic() < deadline:
            time.sleep(0.01)

    def fail(channel):
        raise kind("worker 1 is so")

    run_workers(make_clusters(2), [wait, fail])
    assert statuses == [status]


def test_the_chief_names_the_workers_that_do_not_come(monkeypatch):
    monkeypatch.setattr(meeting, "_REPORT_INTERVAL", 0.1)
    clusters = make_clusters(3)
    reports = []
    monkeypatch.setattr("vgg_keras.utils.console.say", reports.append)
    errors = run_workers(clusters, [lambda channel: None] * 2, timeout=3)
    missing = str(clusters[0].tasks[2])
    assert all(str(error).startswith(f"{missing} did not come within 3 seconds (--worker_timeout)") for error in errors)
    assert {type(error) for error in errors} == {LostWorkerError}
    assert f"waiting for 1 of 3 workers: {missing}" in reports


def test_a_worker_names_the_chief_that_does_not_come():
    clusters = make_clusters(2)
    (error,) = run_workers(clusters[1:], [lambda channel: None], timeout=1)
    assert type(error) is LostWorkerError
    assert str(error).startswith(f"{clusters[0].tasks[0]} could not be reached within 1 seconds")


def test_strangers_are_sent_away():
    clusters = make_clusters(2)
    results = []
    chief = threading.Thread(
        target=lambda: results.extend(run_workers(clusters[:1], [lambda channel: channel.agree("name", "chief's")]))
    )
    chief.start()
    for greeting in (b"PRI * HTTP/2.0\r\n", b'{"worker": 7}\n', b"[1]\n"):
        _connect(clusters[0].me.host_and_port).sendall(greeting)
    (worker,) = run_workers([clusters[1]], [lambda channel: channel.agree("name", "worker's")])
    chief.join()
    assert [*results, worker] == ["chief's", "chief's"]


def _connect(address):
    """Connects to a server that may not have started yet."""
    sock, deadline = socket.socket(), time.monotonic() + 60
    while sock.connect_ex(address):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sock


def test_a_taken_port_and_two_workers_of_one_index_are_refused():
    clusters = make_clusters(2)
    with socket.create_server(("", clusters[0].me.host_and_port[1])):
        (error,) = run_workers(clusters[:1], [lambda channel: None])
    assert "the port cannot be opened (Address already in use)" in str(error)
    clusters = make_clusters(3)
    twice = [clusters[0], clusters[1], dataclasses.replace(clusters[2], index=1)]
    errors = run_workers(twice, [lambda channel: None] * 3, timeout=5)
    assert BrokenClusterError in map(type, errors)
    assert any(f"two processes are {clusters[0].tasks[1]}" in str(error) for error in errors)


_STUCK = """
import socket, sys, time
from vgg_keras.utils.watchdog import watchdog
mine, other = socket.socketpair()
with watchdog({mine.fileno(): "worker 1, b:5000"}, float(sys.argv[1]), "nothing happened in time"):
    if sys.argv[2] == "end":
        other.close()
    if sys.argv[2] != "return":
        time.sleep(600)
print("returned")
"""


@pytest.mark.parametrize(
    ("seconds", "what", "stdout", "stderr"),
    [
        ("600", "return", "returned\n", ""),
        ("600", "end", "", "error: worker 1, b:5000 has ended; its own output tells why\n"),
        ("0.5", "stay", "", "error: nothing happened in time\n"),
    ],
)
@pytest.mark.multiprocess
def test_the_watchdog_ends_a_process_that_is_stuck(seconds, what, stdout, stderr):
    command = [sys.executable, "-c", _STUCK, seconds, what]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (process.stdout, process.stderr) == (stdout, stderr)
    assert (process.returncode == 0) == (what == "return")


def test_free_ports_differ():
    assert len(set(free_ports(5))) == 5
