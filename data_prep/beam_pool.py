"""Writes parts in the workers of an Apache Beam runner, in the place of worker processes of this machine."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_prep import beam_job
from data_prep.parts import Part, PartResult
from data_prep.task_files import TaskFolder
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

# Seconds between two looks for finished parts.
_POLL = 0.2
# Seconds after the end of a pipeline in which a file that a worker has written is seen: NFS clients ask the server for
# the names in a folder again after a minute at most, unless they are set to wait longer.
_SEEN_WITHIN = 90


class BeamPool:
    """The workers of a Beam runner, with the interface of `workers.Pool`.

    A pool is a context manager, which cancels the pipeline that is running at its end, and ends what it has started on
    this machine. Parts and their results go through files in a folder that all workers see, and not through Beam, so
    that every runner gives the same bytes, and finished parts are kept when the leading process is killed.
    """

    def __init__(self, folder: Path, runner: str, options: str) -> None:
        """Makes a pool.

        Args:
            folder: the folder for the files of the tasks, which is made if it is missing.
            runner: name of the runner.
            options: text of --beam_options.
        """
        self._folder, self._runner, self._options = folder, runner, options
        self._job: beam_job.BeamJob | None = None

    def __enter__(self) -> "BeamPool":
        return self

    def __exit__(self, *error: object) -> None:
        if self._job:
            self._job.__exit__(*error)
            self._job = None

    def run(self, tasks: Iterable[Part], progress: Callable[[int], object]) -> Iterator[PartResult]:
        """Writes parts.

        Args:
            tasks: the parts.
            progress: is told how many more images are done.

        Yields:
            The results, in the order in which the parts are finished.

        Raises:
            UserError: the pipeline has failed, or a worker cannot write its part.
            Exception: whatever `parts.write_part` raises.
        """
        parts = TaskFolder(self._folder, tasks)
        self._job = beam_job.write_parts(self._runner, self._options, parts.paths)
        seen_until = float("inf")
        while parts.num_waiting:
            # Asked first, since the last parts may be finished between the two questions.
            running = self._job.is_running()
            for result, count in parts.take_finished():
                progress(count)
                yield result
            if not running and parts.num_waiting:
                seen_until = min(seen_until, time.monotonic() + _SEEN_WITHIN)
                if time.monotonic() > seen_until:
                    raise UserError(
                        f"the Beam pipeline has ended, but {counted(parts.num_waiting, 'part')} cannot be seen in "
                        f"{parts.folder}: do all workers share that folder with this machine?"
                    )
            time.sleep(_POLL if parts.num_waiting else 0)
        with contextlib.suppress(UserError):  # all parts are there, however the pipeline ends
            self._job.wait()
        self.__exit__()
        shutil.rmtree(parts.folder, ignore_errors=True)
