"""Reads addresses such as grpc://host:5050, and waits until a server answers there; imports no TensorFlow."""

import dataclasses
import socket
import time
import urllib.parse

from vgg_keras.utils import console
from vgg_keras.utils.errors import LostWorkerError, UserError
from vgg_keras.utils.hosts import host_and_port, is_host

# Seconds that an attempt to connect takes at the most, and between two attempts.
_ATTEMPT, _PAUSE = 5.0, 0.5


@dataclasses.dataclass(frozen=True)
class ServiceAddress:
    """The address of a server.

    Attributes:
        flag: name of the flag that gave it, for messages.
        host: name or IP address of the machine, without brackets.
        port: the port.
    """

    flag: str
    host: str
    port: int

    @classmethod
    def parse(cls, flag: str, text: str) -> "ServiceAddress":
        """Reads an address of the form grpc://host:port.

        Args:
            flag: name of the flag, without dashes.
            text: its value.

        Raises:
            UserError: the value is no such address.
        """
        problem = UserError(f"--{flag}={text} must be grpc://HOST:PORT, such as grpc://first:5050")
        try:
            parts = urllib.parse.urlsplit(text)
            host, port = parts.hostname or "", parts.port or 0
        except ValueError:
            raise problem from None
        address = cls(flag, host, port)
        # Nothing else may stand there, such as a path.
        if not is_host(host) or not port or text.lower() != address.url.lower():
            raise problem
        return address

    @property
    def host_and_port(self) -> str:
        """The address as TensorFlow takes it: host:port, an IPv6 address in brackets."""
        return host_and_port(self.host, self.port)

    @property
    def url(self) -> str:
        """The address as users give it: grpc://host:port."""
        return f"grpc://{self.host_and_port}"

    def wait(self, timeout: float) -> None:
        """Waits until a server accepts connections there; says so if it has to wait.

        Args:
            timeout: number of seconds to wait.

        Raises:
            LostWorkerError: there is none in time.
        """
        deadline, waiting = time.monotonic() + timeout, False
        while True:
            left = deadline - time.monotonic()
            try:
                with socket.create_connection((self.host, self.port), max(0.1, min(_ATTEMPT, left))):
                    return
            except OSError as error:
                if left <= _PAUSE:
                    raise LostWorkerError(
                        f"--{self.flag}={self.url} does not answer ({error.strerror or error}): start it there with "
                        f"python -m vgg_keras.data_service --port={self.port}"
                    ) from None
            if not waiting:
                console.say(f"waiting for {self.url} (--{self.flag})")
            waiting = True
            time.sleep(_PAUSE)
