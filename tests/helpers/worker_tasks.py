"""Tasks for worker processes, which import this module: it needs nothing else, so that they start quickly."""

import os
import time


def double(task, report):
    """Returns twice a number, and the process; reports as many steps as the number."""
    for done in range(1, task + 1):
        report(done)
    return 2 * task, os.getpid()


def variable(name, report):
    """Returns an environment variable of its process."""
    return os.environ.get(name)


def fail(error, task, report):
    """Raises an error."""
    raise error


def die(how, task, report):
    """Sends a signal to its own process."""
    os.kill(os.getpid(), how)


def leave(task, report):
    """Ends its own process."""
    os._exit(3)


def wait_for_ever(folder, report):
    """Writes an empty file named by the process number into a folder, and then keeps the processor busy."""
    (folder / str(os.getpid())).touch()
    while True:
        report(sum(range(1000)))


def burn(seconds, report):
    """Uses some seconds of CPU time, and returns how many."""
    started = time.process_time()
    while time.process_time() < started + seconds:
        report(0)
    return time.process_time() - started
