"""Opens the folder of an evaluation: a new one, one that was stopped, or a finished one."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vgg_keras.evaluation import layout, records, tables
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.training import workers
from vgg_keras.utils import cluster, console, locks, shared_folder, side_files, stopping
from vgg_keras.utils.channel import joined
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.shared_folder import require_shared_folder
from vgg_keras.utils.teamwork import Team

# Flags that may differ between workers: paths, behind which the same has to be, and how long each of them waits.
_MAY_DIFFER = ("data_dir", "output_dir", "model", "classifier", "compare", "worker_timeout")
_RESTART = "start all workers again; they continue the evaluation"


@contextlib.contextmanager
def joined_team(options: EvaluateOptions) -> Iterator[Team]:
    """Meets the other workers, if the environment describes a cluster, and leaves them at the end of the context.

    Raises:
        UserError: the cluster is malformed, this worker cannot take part, or its flags are not the chief's.
        BrokenClusterError: another worker has failed; `LostWorkerError`: it is gone, or did not come.
    """
    found = cluster.choose(options.strategy)
    if found is None and (note := cluster.unused_note()):
        console.warn(note)
    with joined(found, options.worker_timeout, _RESTART) as channel:
        workers.require_equal(channel, options, _MAY_DIFFER)
        yield Team(channel)


def saved_files(options: EvaluateOptions, name: str, saved: Sequence[bool]) -> dict[int, Path]:
    """Returns the files that --save_posteriors asks for, by the index of the model whose results they are to hold.

    Args:
        options: flags of the verb.
        name: what they hold, the beginning of their names.
        saved: which of the models are such files already.
    """
    if not options.save_posteriors:
        return {}
    endings = [""] if len(saved) == 1 else [f"_{index + 1}" for index in range(len(saved))]
    folder = Path(options.output_dir)
    return {index: folder / f"{name}{ending}.npz" for index, ending in enumerate(endings) if not saved[index]}


@contextlib.contextmanager
def opened(folder: Path, wanted: dict, team: Team, names: Sequence[str]) -> Iterator[dict | None]:
    """Holds the evaluation's folder, which all workers share, and finds out whether the evaluation is finished.

    Args:
        folder: the evaluation's folder.
        wanted: description of the evaluation, as `open_output_dir` takes it.
        team: the workers.
        names: names of the files that a finished evaluation must have, besides those that each has. If one is missing,
            all workers end.

    Yields:
        The record of the evaluation if the folder holds it finished, else None; the same on all workers.

    Raises:
        UserError: the folder is in use, holds another evaluation or a finished one that lacks files, or is not shared,
            or a worker tests something else.
    """
    advice = "the same command continues the evaluation" + (", on all workers" if team.channel.peers else "")
    lock = locks.locked(folder) if team.chief else contextlib.nullcontext()
    with lock, stopping.advising(advice):
        team.channel.compare("what is tested", _facts(wanted))
        require_shared_folder(team.channel, folder)
        finished = open_output_dir(folder, wanted) if team.chief else None
        if team.channel.agree("finished", "yes" if finished else ""):
            if team.chief:
                _require_files(folder, [tables.REPORT, layout.PAGE, layout.MISTAKES, *names])
                _remove_partial(folder)  # what a killed process left
            team.channel.agree("the files of the finished evaluation", "complete")
            yield finished or records.read_finished(folder / tables.RECORD)
        else:
            yield None


def written_record(folder: Path, write: Callable[[], dict], team: Team) -> dict:
    """Lets the chief write the results, once no worker needs the files for resuming, which it removes then.

    Args:
        folder: the evaluation's folder.
        write: function that writes the results, and returns the record.
        team: the workers.

    Returns:
        The record of the finished evaluation, on all workers.

    Raises:
        UserError: the results cannot be written, or the record does not appear here.
        BrokenClusterError: another worker has failed; `LostWorkerError`: it is gone.
    """
    team.channel.agree("all is read", "")
    record = write() if team.chief else None
    if record:
        _remove_partial(folder)
    team.channel.agree("results are written", "")
    if record:
        return record
    shared_folder.appears(folder / tables.RECORD)
    return records.read_finished(folder / tables.RECORD)


def _require_files(folder: Path, names: Sequence[str]) -> None:
    """Checks that a finished evaluation has files beside its record that are not empty."""
    gone = [name for name in names if not (folder / name).is_file() or not (folder / name).stat().st_size]
    if gone:
        raise UserError(
            f"{folder} holds this evaluation without {', '.join(gone)}; remove the folder to do it again, or choose "
            "another --output_dir"
        )


def _remove_partial(folder: Path) -> None:
    """Removes the files for resuming; their folder may be a link to another disk."""
    shutil.rmtree(folder / layout.PARTIAL, ignore_errors=True)


def _facts(wanted: dict) -> dict[str, object]:
    """Returns what has to be the same on all workers by what it is: a description without its paths."""
    facts = {
        f"the {key} of the {part}": value for part in ("settings", "images") for key, value in wanted[part].items()
    }
    for part in ("models", "classifiers"):
        for number, model in enumerate(wanted.get(part, ()), 1):
            facts |= {f"the {key} of {part[:-1]} {number}": value for key, value in model.items() if key != "path"}
    return facts


def open_output_dir(folder: Path, wanted: dict) -> dict | None:
    """Makes the evaluation's folder, or finds the same evaluation in it, finished or not.

    Args:
        folder: the evaluation's folder.
        wanted: description of the evaluation, JSON-ready, as `records.read_description` reads it.

    Returns:
        The record of the evaluation if the folder holds it finished, else None.

    Raises:
        UserError: the folder holds another evaluation, or a record in it is damaged.
    """
    finished, begun = folder / tables.RECORD, folder / layout.SETTINGS
    for record, read in ((finished, records.read_finished), (begun, records.read_description)):
        if record.exists():
            found = read(record)
            if differing := records.differences(found, wanted):
                what = f"{folder} holds another evaluation ({record}: {'; '.join(differing)})"
                raise UserError(f"{what}; choose another --output_dir")
            return found if record == finished else None
    begun.parent.mkdir(parents=True, exist_ok=True)
    side_files.write_json(begun, wanted)
    return None
