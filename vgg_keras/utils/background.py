"""Does slow work, such as writing large files, in a thread while the program goes on."""

import contextvars
import threading
from collections.abc import Callable
from types import TracebackType

from vgg_keras.utils import console
from vgg_keras.utils.errors import explain, reason
from vgg_keras.utils.stopping import Stopped


class Abandoned(Exception):
    """Leaves work whose result nobody waits for any more."""


class Background:
    """Does one piece of work at a time in a thread; its error is raised in the thread that starts or awaits work.

    It is a context: at its end the work is done. A request to stop that ends the context has the work abandoned, if it
    looks for that. Any other error that ends the context is the one that counts; that of the work is then a warning.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._abandoned = threading.Event()

    def start(self, work: Callable[[], None]) -> None:
        """Waits for the work before this one, and starts it.

        Args:
            work: the work; it calls `require_wanted` where it can be left in good order.

        Raises:
            Exception: that of the work before.
        """
        self.wait()
        # The thread may write to the user if this one may.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._do, work))
        self._thread.start()

    def wait(self) -> None:
        """Waits until the work is done, if there is any.

        Raises:
            Exception: that of the work.
        """
        if self._thread:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Looks whether the work has failed, without waiting for it.

        Raises:
            Exception: that of the work.
        """
        error, self._error = self._error, None
        if error:
            raise error

    def require_wanted(self) -> None:
        """Is called by the work from time to time.

        Raises:
            Abandoned: nobody waits for the work any more.
        """
        if self._abandoned.is_set():
            raise Abandoned

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Abandoned:
            pass
        except Exception as error:
            self._error = error

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.wait()
            return
        if isinstance(error, Stopped):
            self._abandoned.set()
        try:
            self.wait()
        except Exception as of_work:
            console.warn(explain(of_work) or reason(of_work))
