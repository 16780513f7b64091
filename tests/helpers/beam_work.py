"""Work for the process that runs Apache Beam, which imports this module; none of it needs Beam."""

import os
import signal
import subprocess
import sys
import threading
import time


def succeed(leader):
    """Does nothing."""


def fail(error, leader):
    """Raises an error."""
    raise error


class RpcError(Exception):
    """An error as gRPC raises it, whose text is a structure of several lines."""

    def details(self):
        return self.args[0]

    def __str__(self):
        return f"<_MultiThreadedRendezvous of RPC that terminated with:\n\tdetails = {self.args[0]}\n>"


def say(path, leader):
    """Writes to stdout and stderr."""
    print("said")
    os.write(2, b"said too\n")


def die(how, leader):
    """Ends its own process by a signal."""
    os.kill(os.getpid(), how)
    time.sleep(60)


def lose_worker(exit_status, leader):
    """Waits for ever, while another thread tells of a lost worker in the words of Beam's direct runner."""

    def run():
        raise RuntimeError(f"Worker subprocess exited with return code {exit_status}")

    threading.Thread(target=run).start()
    while True:
        time.sleep(1)


class _Job:
    """A job that tells by a file that it was cancelled."""

    def __init__(self, folder):
        self._folder = folder

    def cancel(self):
        (self._folder / "cancelled").touch()


def start_and_wait(folder, leader):
    """Starts a process of its own, which takes the signals as usual, and a job; tells of both by files, and waits."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    leader.job = _Job(folder)
    (folder / str(os.getpid())).touch()
    (folder / str(worker.pid)).touch()
    (folder / "ready").touch()
    while True:
        signal.pause()
