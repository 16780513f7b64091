"""Brings the workers of a cluster together before TensorFlow starts, and connects each of them to the chief.

TensorFlow itself waits for the other workers without a word, without an end, and deaf to signals. Here the chief
listens at its own address, which TensorFlow's server takes over once all workers have come: the connections stay, and
need no second port. A worker that is started again finds TensorFlow's server or nobody at that address, and tries on
until the chief has been started again too.
"""

import os
import socket
import time
from collections.abc import Callable
from typing import Any

from vgg_keras.utils.cluster import Cluster, Task
from vgg_keras.utils.connection import Connection, failure_in
from vgg_keras.utils.errors import BrokenClusterError, LostWorkerError, UserError

# Seconds between two messages about who is missing, between two looks at the network, and for one greeting.
_REPORT_INTERVAL, _POLL_INTERVAL, _GREETING_TIMEOUT = 15.0, 0.2, 5.0
# Seconds in which the chief, who sends a message several times a second, must be heard of.
_SILENCE = 30.0


def meet(cluster: Cluster, timeout: float, report: Callable[[str], None]) -> list[Connection]:
    """Waits until all workers are there; returns the chief's connections to the others, or a worker's to the chief.

    Args:
        cluster: the workers.
        timeout: number of seconds to wait.
        report: function that takes a message about who is missing, at first and then every quarter of a minute.

    Raises:
        LostWorkerError: a worker did not come in time.
        UserError: this worker's port is taken, two processes are the same worker, or the workers name different ones.
    """
    _require_free_port(cluster.me)
    if cluster.is_chief:
        return _Host(cluster, timeout, report).gather()
    return [_join(cluster, timeout, report)]


def _require_free_port(me: Task) -> None:
    try:
        _listen(me).close()
    except OSError as error:
        raise UserError(
            f"{me}: the port cannot be opened ({os.strerror(error.errno or 0)}): choose another one, and make sure "
            "that no worker of an earlier run is still there"
        ) from error


def _listen(me: Task) -> socket.socket:
    """Listens at a task's port on all interfaces, as TensorFlow's server does."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", me.host_and_port[1]), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", me.host_and_port[1]))


class _Reporter:
    """Reports who is missing, at first and then every quarter of a minute; ends the wait when the time is over."""

    def __init__(self, timeout: float, report: Callable[[str], None]):
        self._deadline, self._next, self._report = time.monotonic() + timeout, time.monotonic() + 2.0, report

    def waits_for(self, text: str) -> bool:
        """Reports a message if it is time to; returns whether there is time left."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _REPORT_INTERVAL
            self._report(text)
        return now < self._deadline


class _Host:
    """The chief at the meeting."""

    def __init__(self, cluster: Cluster, timeout: float, report: Callable[[str], None]):
        self._cluster, self._timeout = cluster, timeout
        self._reporter = _Reporter(timeout, report)
        self._present: dict[int, Connection] = {}

    def gather(self) -> list[Connection]:
        """Waits for all workers, and lets them start."""
        others = self._cluster.tasks[1:]
        with _listen(self._cluster.me) as server:
            server.settimeout(_POLL_INTERVAL)
            while missing := [task for index, task in enumerate(others, 1) if index not in self._present]:
                names = f"{len(missing)} of {len(self._cluster.tasks)} workers: {'; '.join(map(str, missing))}"
                if not self._reporter.waits_for(f"waiting for {names}"):
                    late = f"{'; '.join(map(str, missing))} did not come within {self._timeout:g} seconds"
                    way_out = "start every worker with its own index, and check that it reaches the chief at"
                    raise self._failed(
                        LostWorkerError(f"{late} (--worker_timeout): {way_out} {self._cluster.me.address}")
                    )
                self._accept(server)
                self._look_after(names)
        for connection in self._present.values():
            connection.send(missing="")
        return [self._present[index] for index in sorted(self._present)]

    def _accept(self, server: socket.socket) -> None:
        """Lets a worker in; whoever else calls, such as a port scanner, is sent away."""
        try:
            sock, _ = server.accept()
        except OSError:  # nobody has come
            return
        connection = Connection(sock)
        greeting = _first_message(connection)
        index = greeting.get("worker")
        if not isinstance(index, int) or not 0 < index < len(self._cluster.tasks):
            connection.close()
            return
        task = self._cluster.tasks[index]
        connection.name = str(task)
        if index in self._present:
            twice = f"two processes are {task}: each worker needs an index of its own"
            raise self._failed(BrokenClusterError(twice), connection)
        if greeting.get("tasks") != _addresses(self._cluster):
            others = f"{task}: it names other workers than the chief: {greeting.get('tasks')}"
            raise self._failed(BrokenClusterError(others), connection)
        self._present[index] = connection

    def _look_after(self, missing: str) -> None:
        """Tells the workers that are there who is missing, and forgets those that have left."""
        for index, connection in list(self._present.items()):
            connection.take()
            if connection.ended or not connection.send(missing=missing):
                connection.close()
                del self._present[index]

    def _failed(self, failure: BrokenClusterError, *more: Connection) -> BrokenClusterError:
        """Sends the workers that are there away; returns the error that they raise too."""
        for connection in (*self._present.values(), *more):
            connection.send_end(failure)
            connection.close()
        return failure


def _join(cluster: Cluster, timeout: float, report: Callable[[str], None]) -> Connection:
    """Connects a worker to the chief, as often as it takes, and waits until all others are there."""
    chief, reporter = cluster.tasks[0], _Reporter(timeout, report)
    why = "it is not there"
    while reporter.waits_for(f"waiting for {chief} ({why})"):
        try:
            sock = socket.create_connection(chief.host_and_port, timeout=_GREETING_TIMEOUT)
        except OSError as error:
            why = error.strerror or str(error)
            time.sleep(_POLL_INTERVAL)
            continue
        connection = Connection(sock, str(chief))
        connection.send(worker=cluster.index, tasks=_addresses(cluster))
        if _is_let_in(connection, reporter):
            return connection
        connection.close()
        why = "something else answers there, or the chief has just ended"
        time.sleep(_POLL_INTERVAL)
    raise LostWorkerError(
        f"{chief} could not be reached within {timeout:g} seconds (--worker_timeout; {why}): start the chief, and "
        "check the address"
    )


def _is_let_in(connection: Connection, reporter: _Reporter) -> bool:
    """Waits until the chief says that all are there; returns whether it did."""
    missing = connection.name
    heard = time.monotonic()
    while not connection.ended and time.monotonic() - heard < _SILENCE:
        while (message := connection.take()) is not None:
            heard = time.monotonic()
            if failure := failure_in(message):
                raise failure
            missing = str(message.get("missing"))
            if not missing:
                return True
        reporter.waits_for(f"waiting for {missing}")
        time.sleep(_POLL_INTERVAL)
    return False


def _first_message(connection: Connection) -> dict[str, Any]:
    """Returns the first message that comes, or {} if none comes in time."""
    deadline = time.monotonic() + _GREETING_TIMEOUT
    while not connection.ended and time.monotonic() < deadline:
        if message := connection.take():
            return message
        time.sleep(0.01)
    return {}


def _addresses(cluster: Cluster) -> list[str]:
    return [task.address for task in cluster.tasks]
