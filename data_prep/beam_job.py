"""Runs an Apache Beam pipeline in a process of its own, which ends with the process that leads it, however that ends.

Beam's direct runner cannot be interrupted, and waits for ever for a worker that was killed. Its libraries write to the
terminal, and change settings of the process that they run in.
"""

import contextlib
import functools
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any

from data_prep import beam_options
from data_prep.task_files import do_task
from data_prep.workers import interrupts_blocked, one_thread_each, picklable
from vgg_keras.utils import cli
from vgg_keras.utils.child_processes import SPAWN
from vgg_keras.utils.early_signals import SIGNALS
from vgg_keras.utils.errors import UserError

# Seconds that a cluster has to take note that a job is cancelled, and that a job has to end when its work is done.
_CANCEL_WITHIN = 30
_END_WITHIN = 60
# Seconds between two looks at a job.
_POLL = 0.1
# As Beam's direct runner words it in a thread of its own, while another one waits for the worker.
_LOST_WORKER = re.compile(r"Worker subprocess exited with return code (-?\d+)")
# A line that is neither empty nor a frame of Java's, and one that names an error.
_TELLS = re.compile(r"(?!at \S+\(|\.\.\. \d+ more).*\w")
_ERROR = re.compile(r"(Caused by: )?[\w.$]+(Error|Exception)\b")
# What SIGKILL leaves: as Python tells it, and as a shell does.
_KILLED = (-9, 128 + 9)
_SHOW = "--verbosity=0 shows what Beam logs"


def _describe(error: BaseException) -> Exception:
    """Returns the error that has ended a pipeline as one of a line."""
    if isinstance(error, UserError):
        return error
    details = getattr(error, "details", None)  # of gRPC, whose errors' texts are structures of several lines
    text = details() if callable(details) else str(error)
    # The text may be the traceback of a worker, in Python or Java. What tells the error, comes last in the one, and
    # before the frames in the other; the step of the pipeline may follow it.
    lines = [line.strip() for line in (text or "").splitlines() if _TELLS.match(line.strip())]
    found = [line for line in lines if _ERROR.match(line)] or lines or [type(error).__name__]
    text = re.sub(r"\s*\[while running .*", "", found[-1]).removeprefix("vgg_keras.utils.errors.UserError: ")
    return UserError(f"the Beam pipeline has failed ({text}); {_SHOW}")


def _lost(exit_status: int | None, process: str = "a worker process") -> UserError:
    if exit_status in _KILLED:
        return UserError(
            f"{process} was killed, most likely by the system for want of memory; run the same command again with "
            f"fewer processes, direct_num_workers=N in --{beam_options.OPTIONS}"
        )
    return UserError(f"{process} has ended by itself (exit status {exit_status}); {_SHOW}")


class _Leader:
    """The leading process, as the process that runs Beam sees it.

    Attributes:
        job: the `PipelineResult` of a job that can be cancelled; None as long as there is none.
    """

    def __init__(self, messages: connection.Connection) -> None:
        self._messages = messages
        self._lock = threading.Lock()
        self.job: Any = None

    def tell(self, error: Exception | None) -> None:
        """Tells that the work has ended, with an error or without."""
        with self._lock, contextlib.suppress(OSError):
            self._messages.send(error and picklable(error))

    def follow(self) -> None:
        """Waits until the leading process hangs up or has ended; then cancels the job, and kills the process group."""
        with contextlib.suppress(EOFError, OSError):
            self._messages.recv()
        if self.job is not None:
            cancelling = threading.Thread(target=self.job.cancel, daemon=True)
            cancelling.start()
            cancelling.join(_CANCEL_WITHIN)
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)  # which is this process's own
        os.killpg(0, signal.SIGKILL)


# Work with Beam, which keeps the job that it starts in the leader that it is given.
_Work = Callable[[_Leader], None]


def _tell_of_lost_workers(leader: _Leader) -> None:
    report = threading.excepthook

    def notice(failed: Any) -> None:
        if found := _LOST_WORKER.search(str(failed.exc_value)):
            leader.tell(_lost(int(found[1])))
        report(failed)

    threading.excepthook = notice


def _run(messages: connection.Connection, folder: str, work: _Work, *, quiet: bool) -> None:
    """Does work, and tells how it has ended; the body of the process.

    Args:
        messages: the connection to the leading process.
        folder: folder for temporary files.
        work: the work.
        quiet: whether nothing of what Beam writes is shown.
    """
    # Of a group of its own, with the processes that Beam starts: a terminal's interrupt reaches the leading process
    # alone, and the group can be killed as a whole. What Beam starts takes the signals as usual.
    os.setpgid(0, 0)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    leader = _Leader(messages)
    threading.Thread(target=leader.follow, daemon=True).start()
    _tell_of_lost_workers(leader)
    if quiet:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    try:
        work(leader)
    except BaseException as error:
        leader.tell(_describe(error))
    else:
        leader.tell(None)
    os._exit(0)  # threads of Beam may wait for something


def _check(runner: str, options: str, leader: _Leader) -> None:
    beam_options.new_pipeline(runner, options)


def _write_parts(runner: str, options: str, paths: Sequence[str], leader: _Leader) -> None:
    """Runs the pipeline: the paths of the tasks, spread over the workers, each of which does what its paths name."""
    import apache_beam as beam

    pipeline = beam_options.new_pipeline(runner, options)
    tasks = pipeline | "Tasks" >> beam.Create(paths, reshuffle=False) | "Spread" >> beam.Reshuffle()
    tasks | "WriteParts" >> beam.Map(do_task)
    leader.job = pipeline.run()
    leader.job.wait_until_finish()
    if leader.job.state != "DONE":
        raise UserError(f"the Beam pipeline has ended as {leader.job.state}; {_SHOW}")


class BeamJob:
    """A process that works with Beam. A job is a context manager, which kills the process and what it has started."""

    def __init__(self, work: _Work) -> None:
        """Starts the process.

        Args:
            work: picklable function.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="vgg_keras-beam-")
        self._messages, theirs = SPAWN.Pipe()
        arguments = {"quiet": not cli.shows_logs()}
        self._process = SPAWN.Process(
            target=_run, args=(theirs, self._scratch.name, work), kwargs=arguments, daemon=True
        )
        with interrupts_blocked(), one_thread_each():
            self._process.start()
        theirs.close()
        self._has_ended = False

    def __enter__(self) -> "BeamJob":
        return self

    def __exit__(self, *_: object) -> None:
        self._messages.close()
        self._process.join(_CANCEL_WITHIN)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.join()
        self._scratch.cleanup()

    def is_running(self) -> bool:
        """Returns whether the work has not ended yet.

        Raises:
            UserError: an error has ended the work, or the process was killed, or one of Beam's direct runner.
        """
        if not self._has_ended and self._messages.poll():
            self._has_ended = True
            try:
                error = self._messages.recv()
            except (EOFError, ConnectionError):
                self._process.join()
                error = _lost(self._process.exitcode, "the process that runs Beam")
            if error:
                raise error
        return not self._has_ended

    def wait(self, seconds: float = _END_WITHIN) -> None:
        """Waits until the work has ended, but not longer than some seconds.

        Raises:
            UserError: as `is_running`.
        """
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(_POLL)


def check(runner: str, options: str) -> None:
    """Checks that Apache Beam is installed, and accepts a runner and options.

    Args:
        runner: name of the runner.
        options: text of --beam_options.

    Raises:
        UserError: it does not.
    """
    with BeamJob(functools.partial(_check, runner, options)) as job:
        job.wait()


def write_parts(runner: str, options: str, paths: Sequence[str]) -> BeamJob:
    """Starts a pipeline that does tasks.

    Args:
        runner: name of the runner.
        options: text of --beam_options.
        paths: absolute paths of the files of the tasks, for `task_files.do_task`.
    """
    return BeamJob(functools.partial(_write_parts, runner, options, paths))
