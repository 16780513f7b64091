"""Ends a verb that is asked to stop before its work begins, at once and with one line.

Importing this module is enough. It does nothing unless the process is starting a verb of this project. It is imported
before everything else, and therefore imports next to nothing itself.
"""

import os
import signal
import sys
from types import FrameType

from vgg_keras.utils import last_word

# EX_TEMPFAIL of sysexits.h: the work failed for now, and may be tried again.
EXIT_STATUS = 75
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PACKAGES = ("vgg_keras", "data_prep")
# Beginning of the names of the console scripts.
_SCRIPTS = "vgg-"


def end_at_once(number: int, descriptor: int = 2) -> None:
    """Ends this process, in which nothing has to be tidied up, with a line about the signal that came.

    The line is left out where the process that has started this one writes its own.

    Args:
        number: number of the signal.
        descriptor: open descriptor that the line is written to.
    """
    name = signal.Signals(number).name
    line = f"stopped by {name} before the work began; start the same command again\n" if last_word.is_ours() else ""
    try:
        # Not through Python's streams, which may be in the middle of a write. The terminal may be gone.
        os.write(descriptor, line.encode())
    finally:
        os._exit(EXIT_STATUS)


def is_verb_starting() -> bool:
    """Returns whether this process is starting a verb: `python -m` looks for its module, or a console script runs."""
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":
        return any(argument.partition(".")[0] in _PACKAGES for argument in sys.orig_argv)
    # A worker process has the name of the script that has started it.
    return os.path.basename(program).startswith(_SCRIPTS) and "multiprocessing.spawn" not in sys.modules


def _handle(number: int, frame: FrameType | None) -> None:
    end_at_once(number)


def take_signals() -> None:
    """Lets the signals end this process at once from here on, but those that it ignores, as under `nohup`."""
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _handle)


if is_verb_starting():
    take_signals()
