"""Shows progress, messages and tables to the user of a verb; stays silent where the package is used as a library.

Names of files and classes are shown so that no terminal obeys them.
"""

import contextlib
import contextvars
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import tqdm

from vgg_keras.utils import last_word
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.escaping import visible

# Seconds between two lines of progress in a log file.
_LOG_INTERVAL = 30.0

# tqdm's own lock is one of `multiprocessing`, whose semaphores a killed process would leave behind, with a warning.
tqdm.tqdm.set_lock(threading.RLock())

_speaking = contextvars.ContextVar("speaking", default=False)
_tolerant = contextvars.ContextVar("tolerant", default=False)


@contextlib.contextmanager
def tolerating_closed_streams() -> Iterator[None]:
    """Lets messages get lost inside the context whose reader is gone, such as a terminal that was closed."""
    token = _tolerant.set(True)
    try:
        yield
    finally:
        _tolerant.reset(token)


@contextlib.contextmanager
def speaking(speaks: bool) -> Iterator[None]:
    """Lets `say`, `say_table` and `progress_bar` reach the user inside the context, or silences them.

    Args:
        speaks: whether they are shown. Outside any such context they are not.
    """
    token = _speaking.set(speaks)
    try:
        yield
    finally:
        _speaking.reset(token)


def is_speaking() -> bool:
    """Returns whether messages reach the user here."""
    return _speaking.get()


def say(text: str) -> None:
    """Prints a message of one line or several on stdout, above the progress bars that are on display."""
    if _speaking.get() and sys.stdout:
        with contextlib.suppress(OSError) if _tolerant.get() else contextlib.nullcontext():
            tqdm.tqdm.write("\n".join(map(visible, text.split("\n"))), file=sys.stdout)


def conclude(text: str) -> None:
    """Prints how the work was stopped, or what comes next ("": nothing), unless this process's parent tells it."""
    if text and last_word.is_ours():
        say(text)


def warn(text: str) -> None:
    """Prints a message of one line on stderr, above the progress bars that are on display."""
    if _speaking.get() and sys.stderr:
        with contextlib.suppress(OSError):  # nobody reads it
            tqdm.tqdm.write(visible(text), file=sys.stderr)


def say_table(table: ShownTable) -> None:
    """Prints a table on stdout: as wide as the terminal, or up to 200 characters wide in a file or a pipe."""
    if _speaking.get() and sys.stdout:
        table.write(sys.stdout)


class _Bar(tqdm.tqdm):
    """A progress bar that no error of its stream ends: work goes on when a terminal is closed."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Shows the status."""
        with contextlib.suppress(OSError):
            return bool(super().display(msg, pos))
        return False

    def close(self) -> None:
        """Shows the last status."""
        with contextlib.suppress(OSError):
            super().close()


class _LogLines(tqdm.tqdm):
    """A progress bar for log files: a line every half minute, and one at the end.

    tqdm itself would write all its updates into one line, with carriage returns between them.
    """

    def __init__(self, *, leave: bool = True, **arguments: Any):
        self._last_line, self._stays = time.monotonic(), leave
        self._written: tuple[float, str | None] | None = None
        form = "{desc}: {n_fmt} of {total_fmt}{unit}, {elapsed}, {rate_noinv_fmt}{postfix}"
        super().__init__(bar_format=form, leave=False, **arguments)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Writes the status as a line, unless the last one was written less than half a minute ago."""
        if msg == "" or time.monotonic() - self._last_line < _LOG_INTERVAL:
            return False
        self._write_line()
        return True

    def clear(self, *_: Any, **__: Any) -> None:
        """Does nothing: a line in a file cannot be cleared."""

    def close(self) -> None:
        """Writes the last status, if the bar is one that stays and the last line is not yet about it."""
        if not self.disable and self._stays and self._written != self._status():
            self._write_line()
        super().close()

    def _status(self) -> tuple[float, str | None]:
        return self.n, self.postfix

    def _write_line(self) -> None:
        self._last_line, self._written = time.monotonic(), self._status()
        with contextlib.suppress(OSError):  # nobody reads it
            self.fp.write(f"{self}\n")
            self.fp.flush()


def progress_bar(what: str, total: int | None, unit: str, **arguments: Any) -> tqdm.tqdm:
    """Returns a progress bar on stderr: live in a terminal, a line every half minute in a log file.

    Args:
        what: text in front of the bar.
        total: total count, or None if it is unknown.
        unit: name of what is counted, with a leading space.
        arguments: further arguments of `tqdm.tqdm`, such as `initial`.
    """
    # Python sets sys.stderr to None if the process was started with its stderr closed.
    hidden = arguments.pop("disable", False) or not _speaking.get() or sys.stderr is None
    bar = _Bar if sys.stderr and sys.stderr.isatty() else _LogLines
    return bar(desc=visible(what), total=total, unit=unit, disable=hidden, **arguments)
