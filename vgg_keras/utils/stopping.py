"""Ends a process in good order when the system or the user asks it to stop: SIGTERM, SIGINT (Ctrl-C), SIGHUP.

Preemption on a cluster, `scancel`, the end of a pod and a closed terminal all arrive as one of these signals. A verb
ends with `EXIT_STATUS` then, which tells "stopped from outside; give the command again to go on" from a failure. So do
the other workers of a cluster when one of them is lost.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any

from vgg_keras.utils import console, last_word
from vgg_keras.utils.early_signals import EXIT_STATUS, SIGNALS, end_at_once
from vgg_keras.utils.errors import LostWorkerError

_FAILED = 1
# Seconds after which a request to stop that got lost is made again.
_REPEAT_AFTER = 0.05
_ADVICE = "start the same command again"


def exit_status(error: Exception) -> int:
    """Returns the exit status of a verb that an error ends: `EXIT_STATUS` if the same command may succeed, else 1."""
    return EXIT_STATUS if isinstance(error, LostWorkerError) else _FAILED


class Stopped(BaseException):
    """Request to stop, raised where the process is; no `except Exception` takes it for an error.

    Args:
        number: number of the signal; 0: it came to another process, with which this one works together.

    Attributes:
        number: number of the signal, or 0.
        advice: what the user may do now; "": what holds for every verb.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number, self.advice = number, ""

    def __str__(self) -> str:
        cause = f"by {signal.Signals(self.number).name}" if self.number else "with another worker"
        return f"stopped {cause}; {self.advice or _ADVICE}"


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


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def raising(*, last: bool = False) -> Iterator[None]:
    """Makes the signals raise `Stopped` inside the context, so that its `finally` blocks leave nothing half done.

    Args:
        last: whether the process only ends after the context: the signals are ignored then, so that none of them
            changes the exit status of work that is done, or breaks into Python as it unloads.
    """
    with _handled_by(_raise, after=signal.SIG_IGN if last else None), _repeated_where_lost():
        yield


@contextlib.contextmanager
def _repeated_where_lost() -> Iterator[None]:
    """Makes a request to stop again that is raised where Python drops it with a traceback, such as in a destructor."""
    before = sys.unraisablehook

    def repeat(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            before(unraisable)
        else:  # not from here, where it would be dropped again
            threading.Timer(_REPEAT_AFTER, os.kill, (os.getpid(), unraisable.exc_value.number)).start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def ending_at_once(descriptor: int) -> Iterator[None]:
    """Makes the signals that would raise `Stopped` end the process inside the context, which leaves nothing half done.

    An error raised in the midst of imports may get lost in them, or show as a traceback.

    Args:
        descriptor: open descriptor that the line about the signal is written to.
    """
    with _handled_by(lambda number, frame: end_at_once(number, descriptor), only={_raise}):
        yield


@contextlib.contextmanager
def advising(advice: str | Callable[[], str]) -> Iterator[None]:
    """Adds what the user may do to the message of a request to stop that passes through the context.

    Args:
        advice: text, or a function that makes it then. That of an inner context goes first.
    """
    try:
        yield
    except Stopped as stopped:
        stopped.advice = stopped.advice or (advice if isinstance(advice, str) else advice())
        raise


@contextlib.contextmanager
def held_back(notice: str) -> Iterator[StopRequest]:
    """Holds the signals back inside the context, and delivers the one that came at its end, if no error ends it.

    A second signal is delivered at once.

    Args:
        notice: text for the user who asked to stop, on what is done before that; "" for none.

    Yields:
        The request to stop, which the block looks at where it can end in good order.
    """
    request = StopRequest()

    def keep(number: int, frame: FrameType | None) -> None:
        if request.made:
            handlers.close()
            signal.raise_signal(number)
        request.number = number
        if notice and console.is_speaking() and last_word.is_ours():
            # Not through Python's streams, which may be in the middle of a write. The terminal may be gone.
            with contextlib.suppress(OSError):
                os.write(2, f"\n{request.signal_name}: {notice}\n".encode())

    with contextlib.ExitStack() as handlers, console.tolerating_closed_streams():
        handlers.enter_context(_handled_by(keep))
        yield request
    if request.made:
        signal.raise_signal(request.number)


@contextlib.contextmanager
def _handled_by(
    handler: Callable[[int, FrameType | None], None],
    *,
    only: Collection[Any] = (),
    after: signal.Handlers | None = None,
) -> Iterator[None]:
    """Handles the signals inside the context, but those that the process ignores, as under `nohup`.

    Outside of the main thread, where Python delivers no signals, it does nothing.

    Args:
        handler: function of a signal's number and the frame that it interrupts.
        only: handlers whose signals are taken over; none: all.
        after: handler after the context; None: the one before it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handled = {
        number: previous
        for number, previous in before.items()
        if previous not in (signal.SIG_IGN, None) and (not only or previous in only)
    }
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in handled.items():
            signal.signal(number, previous if after is None else after)
