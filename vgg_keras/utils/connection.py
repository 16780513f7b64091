"""Sends and receives lines of JSON over a socket, without waiting."""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from vgg_keras.utils.errors import BrokenClusterError, LostWorkerError

# Bytes of the longest line that is read, and seconds that a connection has to take a message.
_MAX_LINE, _SEND_TIMEOUT = 1 << 20, 5.0


class Connection:
    """A connection over which JSON objects go to and fro, one in each line.

    Args:
        sock: the connected socket, whose settings this object changes.
        name: name of the peer, for messages.

    Attributes:
        name: name of the peer.
        ended: whether the peer has closed the connection, the network has, or the peer sends something else. What came
            before can still be taken.
    """

    def __init__(self, sock: socket.socket, name: str = ""):
        self.name, self.ended = name, False
        self._sock, self._unfinished = sock, b""
        self._messages: deque[dict[str, Any]] = deque()
        self._sending, self._broken = threading.Lock(), False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)

    def fileno(self) -> int:
        """Returns the socket's descriptor, so that the object can be given to `select`."""
        return self._sock.fileno()

    def send(self, **message: Any) -> bool:
        """Sends a message, in any thread; returns whether the connection took it."""
        rest = memoryview(json.dumps(message).encode() + b"\n")
        deadline = time.monotonic() + _SEND_TIMEOUT
        with self._sending:
            while rest and not self._broken and time.monotonic() < deadline:
                rest = rest[self._send_part(rest) :]
        return not rest

    def send_end(self, failure: BrokenClusterError | None = None) -> bool:
        """Says that nothing more comes, and why; returns whether the connection took it.

        Args:
            failure: error that the peer will raise; None: the work is done.
        """
        return self.send(end=str(failure or ""), lost=isinstance(failure, LostWorkerError))

    def _send_part(self, data: memoryview) -> int:
        """Sends what the socket takes; returns the number of bytes."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            self._broken = True
        return 0

    def take(self) -> dict[str, Any] | None:
        """Returns the next message that has come, or None if there is none yet."""
        if not self._messages and not self.ended:
            self._read()
        return self._messages.popleft() if self._messages else None

    def _read(self) -> None:
        try:
            part = self._sock.recv(_MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        *lines, self._unfinished = (self._unfinished + part).split(b"\n")
        self.ended = not part or len(self._unfinished) > _MAX_LINE
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if not isinstance(message, dict):  # such as of TensorFlow's server
                self.ended = True
                return
            self._messages.append(message)

    def close(self) -> None:
        """Closes the connection."""
        self._sock.close()


def failure_in(message: Mapping[str, Any]) -> BrokenClusterError | None:
    """Returns the error that a peer's `send_end` tells of, or None for any other message."""
    if not message.get("end"):
        return None
    return (LostWorkerError if message.get("lost") else BrokenClusterError)(str(message["end"]))
