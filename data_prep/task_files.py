"""Hands parts to processes on any machine, through files in a folder that all of them see.

The leading process writes a file for each part. A process that gets the path of such a file writes the part into a new
folder beside it, and then the file of its outcome, for which the leading process looks. That one alone moves the part
to its place. So no other process writes there: neither one that was given up as lost and still runs, nor one of a run
whose leading process was killed.

This module imports neither TensorFlow nor TFDS, so that a worker starts quickly, and knows nothing of Apache Beam.
"""

import dataclasses
import functools
import io
import multiprocessing
import os
import pickle
import platform
import shutil
import traceback
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import PIL

from data_prep.parts import Part, PartResult, finished_part, whole_part, write_part
from data_prep.workers import picklable
from vgg_keras.data import decoding_memory
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_bytes
from vgg_keras.version import __version__

# What decides on the bytes of a part beside the part itself.
_VERSIONS = {"vgg_keras": __version__, "Pillow": PIL.__version__}
# Names of the files in the folder of an attempt to write a part.
_RECORDS, _RESULT, _OUTCOME = "records", "result.json", "outcome"
_OUTCOME_SUFFIX = ".outcome"


class Place(NamedTuple):
    """Where a part belongs.

    Attributes:
        path: its file.
        result_path: the file of its result.
        digest: its digest.
    """

    path: Path
    result_path: Path
    digest: str

    def finished(self) -> PartResult | None:
        """Returns the result of the part if it is finished, or None."""
        return finished_part(self.path, self.result_path, self.digest)

    def take(self, attempt: Path) -> None:
        """Moves the part from the folder in which it was written."""
        self.result_path.unlink(missing_ok=True)
        os.replace(attempt / _RECORDS, self.path)
        os.replace(attempt / _RESULT, self.result_path)


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """What became of a task.

    Attributes:
        attempt: name of the folder in which the part was written; "" if it had been in its place before.
        error: the error that ended it, or None.
        traceback: where that error was raised.
    """

    attempt: str = ""
    error: Exception | None = None
    traceback: str = ""


class _AbsolutePaths(pickle.Pickler):
    """Pickles objects such that the paths in them are absolute, since another process has another working folder."""

    def reducer_override(self, obj: object):
        """Returns how a relative path is pickled."""
        if isinstance(obj, Path) and not obj.is_absolute():
            return type(obj), (str(obj.absolute()),)
        return NotImplemented


def _task_bytes(part: Part) -> bytes:
    """Returns the content of a task's file: the versions, which every version can read, and the part."""
    content = io.BytesIO()
    pickle.dump(_VERSIONS, content)
    _AbsolutePaths(content).dump(part)
    return content.getvalue()


def do_task(path: str) -> None:
    """Writes the part of a task, and then the outcome, which may be an error; runs in any process.

    Args:
        path: absolute path of the task's file.

    Raises:
        UserError: this machine does not see the folder of the tasks.
        OSError: the outcome cannot be written.
    """
    task = Path(path)
    attempt = task.with_name(f"{task.stem}-{uuid.uuid4().hex}")  # the stem is the part's digest
    try:
        attempt.mkdir()
    except FileNotFoundError:
        raise UserError(
            f"{task.parent} is not there on {platform.node()}: every worker must see --output_dir, and the source, "
            "under the same paths as the verb itself"
        ) from None
    _bound_memory()
    try:
        outcome = _write(task, attempt)
    except Exception as error:
        outcome = _Outcome(error=picklable(error), traceback=traceback.format_exc())
    # Made in the folder of the attempt, since another process may be given the same task.
    write_bytes(attempt / _OUTCOME, pickle.dumps(outcome))
    os.replace(attempt / _OUTCOME, task.with_suffix(_OUTCOME_SUFFIX))


def _write(task: Path, attempt: Path) -> _Outcome:
    with task.open("rb") as file:
        versions = pickle.load(file)
        if versions != _VERSIONS:
            raise UserError(
                f"{platform.node()} has {_in_words(_VERSIONS)}, and the verb {_in_words(versions)}: install the same "
                "versions, or the records would differ"
            )
        part: Part = pickle.load(file)
    if whole_part(part):
        return _Outcome()
    write_part(dataclasses.replace(part, path=attempt / _RECORDS, result_path=attempt / _RESULT))
    return _Outcome(attempt.name)


def _in_words(versions: dict[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())


@functools.cache
def _bound_memory() -> None:
    """Bounds the memory for photos that the threads of this process decode at the same time."""
    # No process is started from this context: its semaphores have no names, which nobody has to tidy up.
    decoding_memory.share(decoding_memory.DecodingMemory.of_machine(multiprocessing.get_context("fork")))


class TaskFolder:
    """The tasks of a run, as the leading process sees them.

    Attributes:
        paths: absolute paths of their files, for `do_task`.
    """

    def __init__(self, folder: Path, parts: Iterable[Part]) -> None:
        """Writes the files of the tasks.

        Args:
            folder: a folder for those of all runs, which is made if it is missing.
            parts: the parts.

        Raises:
            OSError: a file cannot be written.
        """
        # Of its own, so that processes of an earlier run are not heard.
        self.folder = folder.absolute() / uuid.uuid4().hex
        self.folder.mkdir(parents=True)
        self._waiting: dict[str, tuple[Place, int]] = {}
        self.paths: list[str] = []
        for part in parts:
            task = self.folder / f"{part.digest}.task"
            write_bytes(task, _task_bytes(part))
            self.paths.append(str(task))
            place = Place(part.path, part.result_path, part.digest)
            self._waiting[task.with_suffix(_OUTCOME_SUFFIX).name] = place, len(part.pieces)

    @property
    def num_waiting(self) -> int:
        """Number of parts that are not finished."""
        return len(self._waiting)

    def take_finished(self) -> Iterator[tuple[PartResult, int]]:
        """Moves the parts that were finished since the last call to their places.

        Yields:
            The result of each, and the number of its images.

        Raises:
            Exception: whatever ended a task.
        """
        for name in sorted(self._waiting.keys() & {entry.name for entry in os.scandir(self.folder)}):
            outcome: _Outcome = pickle.loads((self.folder / name).read_bytes())
            if outcome.error:
                raise outcome.error from RuntimeError(f"in a worker process:\n{outcome.traceback}")
            place, count = self._waiting.pop(name)
            if outcome.attempt:
                place.take(self.folder / outcome.attempt)
            result = place.finished()
            if result is None:
                raise UserError(f"{place.path} is not as a worker wrote it; is the file system of its folder sound?")
            yield result, count


def take_left(folder: Path, places: Iterable[Place]) -> None:
    """Moves parts that earlier runs have left to their places, as far as they belong there, and removes all others.

    After the leading process was killed, workers on other machines may have finished parts.

    Args:
        folder: the folder of the tasks of all runs; it need not exist.
        places: where parts belong.
    """
    wanted = {place.digest: place for place in places}
    for result_path in folder.glob(f"*/*/{_RESULT}"):
        attempt = result_path.parent
        place = wanted.get(attempt.name.partition("-")[0])
        if place and not place.finished() and finished_part(attempt / _RECORDS, result_path, place.digest):
            place.take(attempt)
    shutil.rmtree(folder, ignore_errors=True)
