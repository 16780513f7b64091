"""Starts the processes of a `tf.data` service: the dispatcher, which shares the work out, and the workers."""

import contextlib
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator

import tensorflow as tf

from vgg_keras.utils.early_signals import SIGNALS
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hosts import host_and_port

# Milliseconds between two signs of life of a worker, and without one until the dispatcher takes it for lost.
_HEARTBEAT, _LOST_AFTER = 1_000, 10_000


@contextlib.contextmanager
def dispatching(port: int) -> Iterator[int]:
    """Runs a dispatcher inside the context.

    Args:
        port: port that it listens at; 0: any free one.

    Yields:
        Its port.

    Raises:
        UserError: it cannot listen at the port.
    """
    # In a folder it keeps what it would else keep in memory: for each epoch the places of all photos, of ImageNet
    # about 40 MB.
    with tempfile.TemporaryDirectory(prefix="vgg_keras-dispatcher-") as folder:
        config = tf.data.experimental.service.DispatcherConfig(
            port=port, work_dir=folder, worker_timeout_ms=_LOST_AFTER, job_gc_check_interval_ms=_LOST_AFTER
        )
        _require_free("port", port)
        server = tf.data.experimental.service.DispatchServer(config)
        try:
            yield int(server.target.rpartition(":")[2])
        finally:
            server._stop()  # there is no public way


@contextlib.contextmanager
def working(dispatcher: str, host: str, port: int) -> Iterator[None]:
    """Runs a worker inside the context.

    Args:
        dispatcher: address of the dispatcher, host:port.
        host: name or address under which the machines that train reach this one, without brackets.
        port: port that the worker listens at; 0: any free one.

    Raises:
        UserError: it cannot listen at the port.
    """
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=dispatcher,
        worker_address=host_and_port(host, port or "%port%"),  # TensorFlow puts the port in
        port=port,
        heartbeat_interval_ms=_HEARTBEAT,
    )
    _require_free("worker_port", port)
    with _ended_by_signals():
        server = tf.data.experimental.service.WorkerServer(config)
    try:
        yield
    finally:
        server._stop()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Lets a signal end the process at once inside the context.

    A worker waits there for its dispatcher without end, inside TensorFlow, which lets no handler of Python's run.
    """
    if threading.current_thread() is not threading.main_thread():  # no other one may choose
        yield
        return
    # What is ignored, as SIGHUP under nohup, stays so.
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_free(flag: str, port: int) -> None:
    """Checks that no other process listens at a port; TensorFlow's servers would share it.

    Raises:
        UserError: one does, or this process may not listen there.
    """
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise UserError(f"--{flag}={port}: no server can be started there ({error.strerror}); choose another") from None
