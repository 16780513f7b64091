"""Starts processes that have TensorFlow and the package loaded already, which takes a new process five seconds.

A server, `python -m tests.helpers.nursery SOCKET`, loads them and forks for each request. The fork runs code as
`python -c` would, in a folder and an environment, with pipes for its output, and ends as any interpreter does. What is
read while Python and TensorFlow start, such as PYTHONIOENCODING, is that of the server.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tests.helpers.paths import ROOT

_LONGEST_REQUEST = 200_000  # bytes
_OUTPUTS = (1, 2)
_SERVER_ENDED = os.EX_SOFTWARE  # no verb ends with it


class Forked:
    """A process that the server forked; it is used as a `subprocess.Popen` with pipes for text.

    Args:
        code: what it runs.
        arguments: `sys.argv[1:]`.
        cwd: working folder.
        env: all environment variables.
    """

    def __init__(self, code: str, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]):
        request = {"code": code, "arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
        (stdout, stdout_end), (stderr, stderr_end), (status, status_end) = (os.pipe() for _ in range(3))
        ends = [stdout_end, stderr_end, status_end]
        socket.send_fds(_server(), [json.dumps(request).encode()], ends)
        for end in ends:
            os.close(end)
        self.stdout, self.stderr, self._status = open(stdout), open(stderr), open(status)  # noqa: SIM115
        number = self._status.readline()
        assert number, "the server of processes has ended; its stderr says why"
        self.pid, self.returncode = int(number), None
        self._texts = ["", ""]
        self._readers: list[threading.Thread] = []
        self._ended = threading.Event()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        with self._status:
            self.returncode = int(self._status.readline() or _SERVER_ENDED)
        self._ended.set()

    def poll(self) -> int | None:
        """Returns the exit code, negative for a signal, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits until the process has ended, and returns its exit code."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits until the process has ended and its pipes are closed, and returns what it wrote."""
        if not self._readers:  # a second call waits for those of the first, as that of a Popen does
            streams = enumerate((self.stdout, self.stderr))
            self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in streams]
            for reader in self._readers:
                reader.start()
        for reader in self._readers:
            reader.join(timeout)
        self.wait(timeout)
        return self._texts[0], self._texts[1]

    def _read(self, place: int, stream: TextIO) -> None:
        with stream:
            self._texts[place] = stream.read()

    def send_signal(self, number: int) -> None:
        """Sends a signal, if the process has not ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)


@functools.cache
def _server() -> socket.socket:
    """Starts the server, which ends with this process, and returns the socket for requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _LONGEST_REQUEST)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "tests.helpers.nursery", str(theirs.fileno())]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def _load() -> None:
    """Loads what the verbs load, but no verb, since each runs as the main module."""
    from vgg_keras.utils import cli

    with cli.loading_libraries():
        import vgg_keras.tasks.conversion
        import vgg_keras.tasks.description
        import vgg_keras.tasks.evaluation
        import vgg_keras.tasks.exporting
        import vgg_keras.tasks.localization
        import vgg_keras.tasks.prediction
        import vgg_keras.tasks.run_reports
        import vgg_keras.tasks.training  # noqa: F401


def _next_request(requests: socket.socket) -> dict:
    """Forks for each request, and returns it in the fork; the server itself leaves with the last process of tests.

    The ends of the forks are read from descriptors like the requests, one after another: a handler of SIGCHLD could
    run between any two lines, and TensorFlow's threads would receive signals that the main thread waits for.
    """
    forks: dict[int, tuple[int, int]] = {}  # by the descriptor of a process: its number, where its exit code is awaited
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([requests, *forks], [], [])
        for fork in forks.keys() & ready:
            process_id, status = forks.pop(fork)
            _, end = os.waitpid(process_id, 0)
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                os.write(status, f"{os.waitstatus_to_exitcode(end)}\n".encode())
            os.close(status)
            os.close(fork)
        if requests not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, len(_OUTPUTS) + 1)
        if not message:
            sys.exit()
        *outputs, status = descriptors
        process_id = os.fork()
        if process_id:
            forks[os.pidfd_open(process_id)] = (process_id, status)
            os.write(status, f"{process_id}\n".encode())
        else:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for end in (status, requests.detach(), *forks, *(other for _, other in forks.values())):
                os.close(end)
            for descriptor, output in zip(_OUTPUTS, outputs, strict=True):
                os.dup2(output, descriptor)
        for output in outputs:
            os.close(output)
        if not process_id:
            return json.loads(message)


def _main() -> None:
    _load()
    # What is loaded is left out of the collections of the forks; otherwise each copies it all as it ends.
    gc.freeze()
    request = _next_request(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = ["-c", *request["arguments"]]
    # Those of the server may be files, which can do what pipes cannot.
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _main()
