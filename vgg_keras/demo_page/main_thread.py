"""Hands work from the threads of a web server to the main thread.

The models are used by the main thread alone: one photo after the other, so that memory is bounded, and where a request
to stop can break into the work.
"""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class MainThread:
    """Does the work of other threads, piece by piece, in the thread that calls `work`."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future, Callable[[], Any]]] = queue.SimpleQueue()
        self._stopped = False

    def call(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Has a function called, and waits for its result; for all other threads.

        Raises:
            Exception: that of the function, or a CancelledError if the main thread has been stopped.
        """
        future: Future[ResultT] = Future()
        self._waiting.put((future, lambda: function(*args, **kwargs)))
        if self._stopped:  # asked after it was put there, so that none is forgotten
            future.cancel()
        return future.result()

    def work(self) -> None:
        """Calls functions until a request to stop ends it; those who wait then are told that nothing comes.

        Raises:
            BaseException: the request to stop.
        """
        future: Future | None = None
        try:
            while True:
                future, function = self._waiting.get()
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)
        except BaseException:
            self._stopped = True
            if future:
                future.cancel()
            while not self._waiting.empty():
                self._waiting.get()[0].cancel()
            raise
