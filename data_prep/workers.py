"""Runs tasks in worker processes that end with the process that leads them, however it ends.

`concurrent.futures` would leave its workers alive when the leading process is killed, and could not end them while a
task runs.
"""

import contextlib
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from vgg_keras.utils.child_processes import SPAWN, end_with_parent
from vgg_keras.utils.errors import UserError

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
# Function from a task and a function, which it tells how much of the task is done, to the task's result.
Work = Callable[[TaskT, Callable[[int], None]], ResultT]

# Seconds between two messages of a worker about its progress.
_REPORT_INTERVAL = 0.2
# Variables that tell libraries of linear algebra how many threads to start. Each would start one for each core in each
# process, which is thousands on a large machine, and there is a process for each core already.
_NUM_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
# Kinds of the messages of a worker.
_READY, _PROGRESS, _RESULT, _ERROR = range(4)


def _serve(messages: connection.Connection, work: Work, prepare: Callable[[], object] | None) -> None:
    """Does the tasks that arrive, one after the other; runs in a worker process."""
    # A terminal sends its interrupt to all processes; the leading one decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if prepare:
        prepare()
    with contextlib.suppress(EOFError, ConnectionError):  # the leading process has ended
        messages.send((_READY, None))
        while True:
            task = messages.recv()
            progress = _Progress(lambda done: messages.send((_PROGRESS, done)), _REPORT_INTERVAL)
            try:
                result = work(task, progress.report)
                progress.flush()
                messages.send((_RESULT, result))
            except Exception as error:
                messages.send((_ERROR, (picklable(error), traceback.format_exc())))


class _Progress:
    """Passes the progress of a task on, as differences, and not too often."""

    def __init__(self, tell: Callable[[int], object], interval: float) -> None:
        self._tell, self._interval = tell, interval
        self._done = self._told = 0
        self._last_time = time.monotonic()

    def report(self, done: int) -> None:
        """Takes how much of the task is done."""
        self._done = done
        if time.monotonic() - self._last_time >= self._interval:
            self.flush()

    def flush(self) -> None:
        """Tells what has not been told yet."""
        self._tell(self._done - self._told)
        self._told, self._last_time = self._done, time.monotonic()


def picklable(error: Exception) -> Exception:
    """Returns an error, or one with its text if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


class _Worker:
    """A worker process, as the leading process sees it."""

    def __init__(self, work: Work, prepare: Callable[[], object] | None) -> None:
        self.messages, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs, work, prepare), daemon=True)
        self.process.start()
        theirs.close()

    @contextlib.contextmanager
    def ends_are_errors(self) -> Iterator[None]:
        """Turns the end of the process, while it is talked to, into a `UserError`."""
        try:
            yield
            return
        except (EOFError, ConnectionError):
            self.process.join()
        if self.process.exitcode == -getattr(signal, "SIGKILL", 9):
            raise UserError(
                "a worker process was killed, most likely by the system for want of memory; run the same command again "
                "with fewer processes, --num_workers=N"
            )
        raise UserError(
            f"a worker process has ended by itself (exit status {self.process.exitcode}); run the same command again, "
            "in one process with --num_workers=1"
        )

    def send(self, task: object) -> None:
        """Sends a task.

        Raises:
            UserError: the process has ended.
        """
        with self.ends_are_errors():
            self.messages.send(task)

    def receive(self) -> tuple[int, Any]:
        """Returns the kind and the content of the next message.

        Raises:
            UserError: the process has ended.
        """
        with self.ends_are_errors():
            return self.messages.recv()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Blocks SIGINT for the processes that are started inside the context, until they can ignore it.

    An interrupt that arrives meanwhile reaches this process afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or it would start with the first worker, and unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Lets NumPy start no threads in the processes that are started inside the context, unless the user says so."""
    added = [name for name in _NUM_THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


class Pool(Generic[TaskT, ResultT]):
    """Some worker processes; if it is one worker, the leading process itself does the tasks.

    A pool is a context manager. The processes are started for the first tasks, and killed at the end of the context, so
    that an error or an interrupt is followed at once. If the leading process is killed, they end too.
    """

    def __init__(self, work: Work, num_workers: int, prepare: Callable[[], object] | None = None) -> None:
        """Makes a pool.

        Args:
            work: picklable function that does a task.
            num_workers: number of processes.
            prepare: picklable function that each worker process calls first.
        """
        self._work, self._prepare = work, prepare
        self._num_workers = num_workers
        self._workers: dict[connection.Connection, _Worker] = {}
        self._idle: list[_Worker] = []

    def __enter__(self) -> "Pool[TaskT, ResultT]":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.process.kill()
        for worker in self._workers.values():
            worker.process.join()
            worker.messages.close()
        self._workers, self._idle = {}, []

    def run(self, tasks: Iterable[TaskT], progress: Callable[[int], object]) -> Iterator[ResultT]:
        """Does tasks.

        Args:
            tasks: the tasks; each is made when a process is free for it.
            progress: is told how much more is done, in the unit in which the work reports it.

        Yields:
            The results, in the order in which the tasks end.

        Raises:
            UserError: a process was killed.
            Exception: whatever the work raises.
        """
        if self._num_workers > 1:
            yield from self._run_in_workers(iter(tasks), progress)
            return
        for task in tasks:
            own = _Progress(progress, 0.0)
            yield self._work(task, own.report)

    def _start(self) -> None:
        with interrupts_blocked(), one_thread_each():
            for _ in range(self._num_workers):
                worker = _Worker(self._work, self._prepare)
                self._workers[worker.messages] = worker

    def _run_in_workers(self, tasks: Iterator[TaskT], progress: Callable[[int], object]) -> Iterator[ResultT]:
        if not self._workers:
            self._start()
        num_running = 0
        task = next(tasks, None)
        while task is not None or num_running:
            while task is not None and self._idle:
                self._idle.pop().send(task)
                num_running += 1
                task = next(tasks, None)
            for messages in connection.wait(list(self._workers)):
                worker = self._workers[messages]  # type: ignore[index]
                kind, content = worker.receive()
                if kind == _PROGRESS:
                    progress(content)
                    continue
                self._idle.append(worker)
                if kind != _READY:
                    num_running -= 1
                if kind == _ERROR:
                    error, text = content
                    raise error from RuntimeError(f"in a worker process:\n{text}")
                if kind == _RESULT:
                    yield content
