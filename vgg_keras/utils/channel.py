"""Lets the workers of a cluster agree, tell each other why they stop, and notice one that is gone.

Each worker has a connection to the chief (`meeting.meet`), which a thread watches while TensorFlow computes.
TensorFlow's own errors tell neither which worker broke the run nor why.
"""

import contextlib
import contextvars
import dataclasses
import json
import os
import selectors
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vgg_keras.utils import console, stopping
from vgg_keras.utils.cluster import Cluster
from vgg_keras.utils.connection import Connection, failure_in
from vgg_keras.utils.errors import BrokenClusterError, LostWorkerError, UserError, explain, reason
from vgg_keras.utils.meeting import meet

# Seconds between two looks at the connections; a pause of several times as long is this process's own.
_POLL_INTERVAL, _OWN_PAUSE = 1.0, 5.0
# Seconds for the true cause of a broken collective operation to come in.
_VERDICT_TIME = 5.0
# Seconds after which a process that is stuck in a library ends itself, once it is known that the run has broken.
_GRACE = 30.0
# What to do about a run of `train` that has broken.
RESUME = "start all workers again, with --resume"


@dataclasses.dataclass
class _Peer:
    """Another worker.

    Attributes:
        connection: the connection to it.
        heard: time of its last message.
        finished: whether it has said that it is done.
        values: its values that have come, by name.
        progress: what it has told last of its progress: the name of its work, and how much of it is done.
    """

    connection: Connection
    heard: float
    finished: bool = False
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    progress: tuple[str, int] = ("", 0)


class Channel:
    """The connection of this process to the other workers; without a cluster it has none, and agrees with itself.

    Args:
        cluster: the workers, or None.
        connections: result of `meet`.
        timeout: number of seconds after which a silent worker counts as lost.
        restart: what the user may do if a worker is lost, for messages.

    Attributes:
        cluster: the workers, or None.
        timeout: number of seconds after which a silent worker counts as lost.
        chief: whether this process is the chief, which writes files and reports.
    """

    def __init__(
        self,
        cluster: Cluster | None,
        connections: Sequence[Connection] = (),
        timeout: float = 0.0,
        restart: str = RESUME,
    ):
        self.chief = cluster is None or cluster.is_chief
        self.cluster, self.timeout, self._restart = cluster, timeout, restart
        self._peers = [_Peer(connection, time.monotonic()) for connection in connections]
        self._changed = threading.Condition()  # guards what the thread writes
        self._failure: BrokenClusterError | None = None
        self._closing = threading.Event()
        self._on_failure: Callable[[str], None] = lambda failure: None
        if self._peers:
            # The thread may write to the user if this one may.
            context = contextvars.copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._watch,), daemon=True)
            self._thread.start()

    @property
    def peers(self) -> dict[int, str]:
        """Descriptor of each connection, and name of the worker at its other end."""
        return {peer.connection.fileno(): peer.connection.name for peer in self._peers}

    def on_failure(self, act: Callable[[str], None]) -> None:
        """Sets the function that frees the main thread from a library; a thread calls it with what broke the run."""
        self._on_failure = act

    def agree(self, name: str, value: str) -> str:
        """Returns the chief's value, on all workers; all have to call it.

        Args:
            name: name of what is agreed on, the same on all workers.
            value: this worker's value.

        Raises:
            BrokenClusterError: a worker has stopped with an error; `LostWorkerError`: it is gone.
        """
        return self.gather(name, value)[0]

    def require(self, name: str, problem: str) -> None:
        """Stops all workers if one of them has a problem; all have to call it.

        Args:
            name: name of what is required, the same on all workers.
            problem: what is wrong with this worker, or "".

        Raises:
            BrokenClusterError: a worker has a problem; the message names it, and is the same on all workers.
        """
        problems = self.gather(name, problem)
        tasks = self.cluster.tasks if self.cluster else ("",)
        if any(problems):
            raise BrokenClusterError(
                "; ".join(f"{task}: {what}" for task, what in zip(tasks, problems, strict=True) if what)
            )

    def compare(self, name: str, facts: Mapping[str, object]) -> None:
        """Stops all workers if they differ in a fact; all have to call it.

        Args:
            name: name of the comparison, the same on all workers.
            facts: values by what they are, such as {"--batch_size": 256}; they have to be JSON.

        Raises:
            BrokenClusterError: a worker differs; the message names it and the facts, and is the same on all workers.
        """
        mine = json.loads(json.dumps(facts))
        chiefs = json.loads(self.agree(name, json.dumps(mine)))
        differing = [key for key in {**chiefs, **mine} if chiefs.get(key) != mine.get(key)]
        problem = "; ".join(f"{key} is {mine.get(key)!r}, the chief has {chiefs.get(key)!r}" for key in differing)
        self.require(f"{name}, compared", problem)

    def gather(self, name: str, value: str, while_waiting: Callable[[], None] | None = None) -> list[str]:
        """Returns the values of all workers, the chief's first; all have to call it.

        Args:
            name: name of the values, the same on all workers.
            value: this worker's value.
            while_waiting: function that is called every second until the others' values have come.

        Raises:
            BrokenClusterError: a worker has stopped with an error; `LostWorkerError`: it is gone.
        """
        if self.chief:
            values = [value, *(self._next(peer, name, while_waiting) for peer in self._peers)]
            for peer in self._peers:
                peer.connection.send(name=name, value=values)
            return values
        (chief,) = self._peers
        chief.connection.send(name=name, value=value)
        return self._next(chief, name, while_waiting)

    def _next(self, peer: _Peer, name: str, while_waiting: Callable[[], None] | None) -> Any:
        while True:
            with self._changed:
                pause = _POLL_INTERVAL if while_waiting else None
                self._changed.wait_for(lambda: name in peer.values or self._failure or peer.finished, pause)
                if name in peer.values:
                    return peer.values.pop(name)
                if self._failure or peer.finished:
                    early = f"{peer.connection.name} has ended before the others; {self._restart}"
                    raise self._failure or LostWorkerError(early)
            if while_waiting:
                while_waiting()

    def tell_progress(self, work: str, done: int) -> None:
        """Tells the chief how much of its work this worker has done; no answer is waited for.

        Args:
            work: name of the work, the same on all workers.
            done: how much of it is done.
        """
        for peer in () if self.chief else self._peers:
            peer.connection.send(progress=[work, done])

    def progress(self, work: str) -> list[int]:
        """Returns, on the chief, how much of a work each of the others has told to have done, in their order."""
        with self._changed:
            return [done if name == work else 0 for name, done in (peer.progress for peer in self._peers)]

    def close(self, failure: BrokenClusterError | None = None) -> None:
        """Takes leave of the other workers.

        Args:
            failure: why this worker stops before the end, as the others will raise it; None: it is done.
        """
        self._closing.set()
        for peer in self._peers:
            peer.connection.send_end(failure)
        if self._peers:
            self._thread.join(2 * _POLL_INTERVAL)
        for peer in self._peers:
            peer.connection.close()

    def verdict(self, wait: float = 0.0) -> BrokenClusterError | None:
        """Returns what broke the run, or None if that does not become known in a number of seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure, wait if self._peers else 0.0)
            return self._failure

    def _watch(self) -> None:
        """Takes the messages of all others until the run ends; if it breaks, tells them and frees the main thread."""
        looked = beat = time.monotonic()
        while not self._closing.is_set():
            self._wait()
            now = time.monotonic()
            for peer in self._peers:
                # After a pause of this process, as of one that was suspended, the others have to be heard first.
                peer.heard = now if now - looked > _OWN_PAUSE else peer.heard
                self._hear(peer, now)
            looked = now
            if now >= beat:
                # Another one may have a smaller timeout.
                beat = now + min(self.timeout / 4, 1.0)
                for peer in self._peers:
                    peer.connection.send(alive=True)
            if self._failure:
                self._break_off(self._failure)
                return

    def _wait(self) -> None:
        """Waits until a message comes, or for a second."""
        listening = [peer.connection for peer in self._peers if not peer.connection.ended]
        with selectors.DefaultSelector() as selector:  # select itself fails where many files are open
            for connection in listening:
                selector.register(connection, selectors.EVENT_READ)
            if not selector.select(_POLL_INTERVAL) and not listening:
                time.sleep(_POLL_INTERVAL)

    def _hear(self, peer: _Peer, now: float) -> None:
        with self._changed:
            while (message := peer.connection.take()) is not None:
                peer.heard = now
                if "name" in message:
                    peer.values[message["name"]] = message["value"]
                if "progress" in message:
                    work, done = message["progress"]
                    peer.progress = str(work), int(done)
                self._failure = self._failure or failure_in(message)
                peer.finished = peer.finished or "end" in message
            if peer.connection.ended and not peer.finished:
                self._failure = self._failure or LostWorkerError(
                    f"{peer.connection.name} is gone: its process was killed or its machine went down; {self._restart}"
                )
            elif now - peer.heard > self.timeout and not peer.finished:
                self._failure = self._failure or LostWorkerError(
                    f"{peer.connection.name} has not been heard of for {self.timeout:g} seconds (--worker_timeout): "
                    f"its machine or the network is down; {self._restart}"
                )
            self._changed.notify_all()

    def _break_off(self, failure: BrokenClusterError) -> None:
        for peer in self._peers if self.chief else []:
            peer.connection.send_end(failure)
        self._on_failure(str(failure))
        if not self._closing.wait(_GRACE):
            console.warn(f"error: {failure}")
            os._exit(stopping.exit_status(failure))


@contextlib.contextmanager
def joined(cluster: Cluster | None, timeout: float, restart: str = RESUME) -> Iterator[Channel]:
    """Meets the other workers, and leaves them at the end of the context, with a word about the error that ends it.

    Args:
        cluster: the workers; None if this process works alone.
        timeout: number of seconds to wait for the others at the start, and for a sign of life of them later.
        restart: what the user may do if a worker is lost, for messages.

    Raises:
        UserError: this worker cannot take part.
        BrokenClusterError: a worker has stopped with an error; the message names it. It takes the place of TensorFlow's
            error about the broken connection.
        LostWorkerError: the same, and the worker did not come, or is gone.
    """
    if cluster is None or len(cluster.tasks) == 1:
        yield Channel(cluster, timeout=timeout)
        return
    channel = Channel(cluster, meet(cluster, timeout, console.say), timeout, restart)
    try:
        yield channel
    except UserError as error:
        channel.close(error if isinstance(error, BrokenClusterError) else BrokenClusterError(f"{cluster.me}: {error}"))
        raise
    except Exception as error:
        # TensorFlow's errors have a code; those of a connection come before or after the channel's own news.
        failure = channel.verdict(_VERDICT_TIME if hasattr(error, "error_code") else 0.0)
        if not failure and "ollective" in str(error):
            broke = f"the connection to another worker broke ({reason(error)})"
            failure = LostWorkerError(f"{cluster.me}: {broke}; {restart}")
        what = explain(error) or f"{type(error).__name__}: {reason(error)}"
        channel.close(failure or BrokenClusterError(f"{cluster.me}: {what}"))
        if failure:
            raise failure from error
        raise
    except BaseException:
        channel.close(LostWorkerError(f"{cluster.me} was interrupted; {restart}"))
        raise
    channel.close()
