"""Shares the rows of an array out over the workers of a cluster, each of which computes its part without the others.

The rows go through the file system of the shared folder: they have to be on a disk anyway, so that a killed worker
loses none, and then nothing has to be sent again after a break. Each worker writes a file of its own, since one file
that several machines map into their memory is not safe on a network's file system; the chief puts the files together.
Who is there, what is missing and how far everyone is goes through the channel, which notices a lost worker at once.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tqdm

from vgg_keras.utils import console, resumable_array, shared_folder
from vgg_keras.utils.channel import Channel
from vgg_keras.utils.display import duration_text
from vgg_keras.utils.errors import BrokenClusterError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.words import counted
from vgg_keras.utils.work_items import Items

# Seconds between two messages of progress to the chief, and between two lines about whom the chief waits for.
_TELL_INTERVAL, _WAIT_INTERVAL = 1.0, 30.0


# Computes the rows of the given items, (N,) bool, stores them, and calls the function after each item.
Compute = Callable[[ResumableArray, np.ndarray, Callable[[], None]], None]


class Team:
    """The workers of a cluster that fill arrays together, or one process that works alone.

    Args:
        channel: the connection to the other workers; None: there are none.

    Attributes:
        channel: the connection to the other workers.
        chief: whether this process is the chief, which puts the rows together, writes the results and reports.
        names: name of each worker, the chief's first.
    """

    def __init__(self, channel: Channel | None = None):
        self.channel = channel or Channel(None)
        self.chief = self.channel.chief
        cluster = self.channel.cluster
        self.names = [str(task) for task in cluster.tasks] if cluster and self.channel.peers else [""]
        self._index = cluster.index if cluster and self.channel.peers else 0
        # In the names of this session's files: a file that a killed worker left is never gone on with.
        self._session = self.channel.agree("session", secrets.token_hex(4))
        self._items, self._seconds = [0] * len(self.names), [0.0] * len(self.names)
        self._fills = 0

    def fill(self, path: Path, width: int, items: Items, compute: Compute) -> ResumableArray:
        """Computes the rows of an array that are missing, each worker a part, with a progress bar on the chief.

        Args:
            path: the `.npy` file in the shared folder, created if it is missing.
            width: number of columns.
            items: what the rows are computed from.
            compute: function that computes the rows of some items.

        Returns:
            The array, in which no wanted row is missing, on all workers.

        Raises:
            UserError: a file is damaged, or `compute` raised it.
            BrokenClusterError: another worker has failed; `LostWorkerError`: it is gone.
        """
        self._fills += 1
        outputs = _collected(path, items.num_rows, width) if self.chief else None
        missing = self._told_by_chief(path, items.missing(outputs.pending()) if outputs else items.wanted)
        if missing.any():
            parts = items.dealt(missing, len(self.names))
            if outputs:
                before = outputs.seconds
                self._compute_part(outputs, path, items, parts, compute)
                self._put_together(outputs, path, items, parts, before)
            else:
                own = ResumableArray(self._part_path(path, self._index), items.num_rows, width)
                self._compute_part(own, path, items, parts, compute)
        self.channel.agree(f"{path.name} is whole", "")
        return outputs or _opened_whole(path, items.num_rows, width, items)

    def described(self) -> str:
        """Returns the workers for the record of a result, such as " on each of 2 workers in Slurm"; "" for one."""
        cluster = self.channel.cluster
        return f" on each of {len(self.names)} workers in {cluster.source}" if cluster and len(self.names) > 1 else ""

    def summary(self) -> str:
        """Returns, on the chief, what each worker has computed; "" if this process works alone or nothing was left."""
        if len(self.names) == 1 or not any(self._items):
            return ""
        parts = zip(self.names, self._items, self._seconds, strict=True)
        told = "; ".join(
            f"{name}: {counted(items, 'photo')} in {duration_text(seconds)}" for name, items, seconds in parts
        )
        return f"shared out over {len(self.names)} workers, a photo counted once a scale, method and model: {told}"

    def _told_by_chief(self, path: Path, missing: np.ndarray) -> np.ndarray:
        """Returns what the chief finds missing, (N,) bool; through the channel, since a file may look older here."""
        packed = base64.b64encode(np.packbits(missing).tobytes()).decode()
        packed = self.channel.agree(f"{path.name} lacks", packed if self.chief else "")
        return np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), count=len(missing)).astype(bool)

    def _part_path(self, path: Path, index: int) -> Path:
        return path.with_name(f"{path.stem}.part-{index}-{self._session}{path.suffix}")

    def _compute_part(
        self, outputs: ResumableArray, path: Path, items: Items, parts: list[np.ndarray], compute: Compute
    ) -> None:
        """Computes this worker's part; the chief then waits for the others, and learns what they have done."""
        mine, before = parts[self._index], outputs.seconds
        counts = [int(part.sum()) for part in parts]
        total, left = int(items.wanted.sum()), sum(counts)
        with console.progress_bar(
            items.title, total, " images", initial=total - left, leave=items.stays, disable=not self.chief
        ) as bar:
            # Files of one name, of a model and of the one that it is compared with, may follow each other.
            progress = _Progress(self, f"{self._fills}: {path.name}", counts, bar)
            outputs.start_clock()
            try:
                if mine.any():
                    compute(outputs, mine, progress.advance)
            finally:  # also if the process is asked to stop
                outputs.flush()
            done = json.dumps([counts[self._index], outputs.seconds - before])
            waiting = progress.wait if self.chief else None
            told = self.channel.gather(f"{path.name} is computed", done, waiting)
            progress.finish()
        for index, (count, seconds) in enumerate(map(json.loads, told)):
            self._items[index] += count
            self._seconds[index] += seconds

    def _put_together(
        self, outputs: ResumableArray, path: Path, items: Items, parts: list[np.ndarray], seconds_before: float
    ) -> None:
        """Puts the other workers' rows into the chief's array, and removes their files."""
        for index, part in list(enumerate(parts))[1:]:
            part_path = self._part_path(path, index)

            def is_here(part: np.ndarray = part, part_path: Path = part_path) -> bool:
                if _is_there(part_path):
                    outputs.absorb(ResumableArray(part_path, *outputs.values().shape), seconds_before)
                return not (items.missing(outputs.pending()) & part).any()

            if not shared_folder.comes_true(is_here, path.parent):
                raise BrokenClusterError(
                    f"{part_path} does not hold here what {self.names[index]} has computed; --output_dir must be on a "
                    "file system that all workers share"
                )
        _remove_parts(path)


class _Progress:
    """Counts this worker's items, tells the chief of them, and notices when another worker has broken the work off.

    Args:
        team: the workers.
        work: name of the work.
        counts: number of items of each worker.
        bar: progress bar, which on the chief shows the items of all.
    """

    def __init__(self, team: Team, work: str, counts: list[int], bar: tqdm.tqdm):
        self._team, self._work, self._counts, self._bar = team, work, counts, bar
        self._own = self._shown = 0
        self._next = time.monotonic() + _TELL_INTERVAL
        self._next_line = time.monotonic() + _TELL_INTERVAL

    def advance(self) -> None:
        """Counts an item that is computed."""
        self._own += 1
        now = time.monotonic()
        if len(self._counts) == 1 or now >= self._next:
            self._next = now + _TELL_INTERVAL
            self._team.channel.tell_progress(self._work, self._own)
            self._show(self._own + sum(self._team.channel.progress(self._work)))
            if failure := self._team.channel.verdict():
                raise failure

    def wait(self) -> None:
        """Shows how far the others are, of whom this worker waits for some."""
        others = self._team.channel.progress(self._work)
        self._show(self._counts[0] + sum(others))
        waited_for = [
            f"{name}: {done:,} of {counted(count, 'photo')}"
            for name, done, count in zip(self._team.names[1:], others, self._counts[1:], strict=True)
            if done < count
        ]
        if waited_for and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _WAIT_INTERVAL
            console.say(f"waiting for {'; '.join(waited_for)}")

    def finish(self) -> None:
        """Shows that all items are computed."""
        self._show(sum(self._counts))

    def _show(self, done: int) -> None:
        if done > self._shown:
            self._bar.update(done - self._shown)
            self._shown = done


def _collected(path: Path, num_rows: int, width: int) -> ResumableArray:
    """Opens an array, and takes over the rows that workers left whose session was broken off."""
    outputs = ResumableArray(path, num_rows, width)
    for part_path in _part_paths(path):
        outputs.absorb(ResumableArray(part_path, num_rows, width))
    _remove_parts(path)
    return outputs


def _part_paths(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}.part-*{path.suffix}"))


def _remove_parts(path: Path) -> None:
    for part_path in _part_paths(path):
        resumable_array.remove(part_path)


def _is_there(path: Path) -> bool:
    """Returns whether an array of another machine is seen here; opening it before would make an empty one."""
    return all(file.exists() for file in resumable_array.files_of(path))


def _opened_whole(path: Path, num_rows: int, width: int, items: Items) -> ResumableArray:
    """Opens an array that the chief has made whole.

    Raises:
        BrokenClusterError: it is not, as it is seen here.
    """
    opened: list[ResumableArray] = []

    def is_whole() -> bool:
        if _is_there(path):
            opened[:] = [ResumableArray(path, num_rows, width)]
        return bool(opened) and not items.missing(opened[0].pending()).any()

    if not shared_folder.comes_true(is_whole, path.parent):
        raise BrokenClusterError(
            f"{path} does not hold here what the chief has put into it; --output_dir must be on a file system that all "
            "workers share"
        )
    return opened[0]
