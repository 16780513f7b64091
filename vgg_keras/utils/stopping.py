"""Ends a process in good order when the system or the user asks it to stop: SIGTERM, SIGINT (Ctrl-C), SIGHUP.

Preemption on a cluster, `scancel`, the end of a pod and a closed terminal all arrive as one of these signals. A verb
ends with `EXIT_STATUS` then, which tells "stopped from outside; give the command again to go on" from a failure.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from vgg_keras.utils import console

# EX_TEMPFAIL of sysexits.h: the work failed for now, and may be tried again.
EXIT_STATUS = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Request to stop, raised where the process is; no `except Exception` takes it for an error.

    Args:
        number: number of the signal; 0: it came to another process, with which this one works together.

    Attributes:
        advice: what the user may do now, or "".
    """

    def __init__(self, number: int):
        super().__init__(number)
        self._number, self.advice = number, ""

    def __str__(self) -> str:
        cause = f"by {signal.Signals(self._number).name}" if self._number else "with another worker"
        return f"stopped {cause}" + (f"; {self.advice}" if self.advice else "")


class StopRequest:
    """Whether the process was asked to stop while `held_back` kept the signal.

    Attributes:
        number: number of the signal; 0: there was none.
    """

    number = 0

    @property
    def made(self) -> bool:
        """Whether the process was asked to stop."""
        return self.number != 0

    @property
    def signal_name(self) -> str:
        """Name of the signal, such as "SIGTERM"; "" if there was none."""
        return signal.Signals(self.number).name if self.number else ""


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Makes the signals raise `Stopped` inside the context, so that its `finally` blocks leave nothing half done."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handled_by(stop):
        yield


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Adds what the user may do to the message of a request to stop that passes through the context."""
    try:
        yield
    except Stopped as stopped:
        stopped.advice = advice
        raise


@contextlib.contextmanager
def held_back(notice: str) -> Iterator[StopRequest]:
    """Holds the signals back inside the context, and delivers the one that came at its end, if no error ends it.

    A second signal is delivered at once.

    Args:
        notice: text for the user who asked to stop, on what is done before that.

    Yields:
        The request to stop, which the block looks at where it can end in good order.
    """
    request = StopRequest()

    def keep(number: int, frame: FrameType | None) -> None:
        if request.made:
            handlers.close()
            signal.raise_signal(number)
        request.number = number
        if console.is_speaking():
            # Not through Python's streams, which may be in the middle of a write. The terminal may be gone.
            with contextlib.suppress(OSError):
                os.write(2, f"\n{request.signal_name}: {notice}\n".encode())

    with contextlib.ExitStack() as handlers, console.tolerating_closed_streams():
        handlers.enter_context(_handled_by(keep))
        yield request
    if request.made:
        signal.raise_signal(request.number)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handles the signals inside the context, but those that the process ignores, as under `nohup`.

    Outside of the main thread, where Python delivers no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = {number: previous for number, previous in before.items() if previous not in (signal.SIG_IGN, None)}
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in handled.items():
            signal.signal(number, previous)
