"""Runs a suite: a chain of runs and tests that reproduces the paper's tables, and goes on after it was stopped."""

import functools
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import tables
from vgg_keras.models import run_record
from vgg_keras.tasks import paper_tables
from vgg_keras.tasks.options import EvaluateOptions, ReportOptions, ReproduceOptions
from vgg_keras.tasks.suites import EVALUATE, SUITES, TRAIN, Step
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import child_processes, cluster, console, locks, paths, shell, side_files, stopping
from vgg_keras.utils.display import ShownTable, duration_text
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, parse
from vgg_keras.utils.structures import TEXT, MapOf, number

_RECORD = "reproduce.json"
_STRUCTURE = {"suite": TEXT, "data": MapOf(TEXT), "seconds": MapOf(number(0))}
_OPTIONS: Mapping[str, type[Options]] = {TRAIN: TrainConfig, EVALUATE: EvaluateOptions}
# The flag of each verb that names the split on which the nets are tested, and the file that marks a finished step.
_TEST_SPLIT = {TRAIN: "validation_split", EVALUATE: "split"}
_RESULT = {TRAIN: run_record.BEST_MODEL, EVALUATE: tables.RECORD}

# The flags of each verb that name results of other steps.
_READ = {TRAIN: ("init_from",), EVALUATE: ("model", "classifier")}

# Function from a module, its arguments and its working folder to its exit status.
Runner = Callable[[str, Sequence[str], Path], int]


class Progress:
    """The finished steps of a suite and their times, which a file in the working folder keeps.

    Args:
        folder: the working folder.
        options: flags of the verb.

    Raises:
        UserError: the folder holds another suite or one on other data, or the file is damaged.
    """

    def __init__(self, folder: Path, options: ReproduceOptions):
        self._folder, self._path = folder, folder / _RECORD
        self._content: dict[str, Any] = {"suite": options.suite, "data": options.data(), "seconds": {}}
        if self._path.exists():
            found = side_files.read_json(
                self._path, _STRUCTURE, "remove it, and every step is given again, which is quick for finished ones"
            )
            for key in ("suite", "data"):
                if found[key] != self._content[key]:
                    raise UserError(
                        f"{folder} holds the suite {found['suite']} with {_data_text(found['data'])}, not "
                        f"{options.suite} with {_data_text(options.data())}; choose another --output_dir"
                    )
            self._content = found

    def seconds(self, step: Step) -> float | None:
        """Returns the time that a finished step took, or None if it is not finished, or its result was removed."""
        is_there = (self._folder / output_dir(step) / _RESULT[step.verb]).exists()
        return self._content["seconds"].get(step.name) if is_there else None

    def begin(self, step: Step, steps: Sequence[Step]) -> None:
        """Forgets that a step was finished before, and so were those that its result goes into: they are given again.

        Args:
            step: the step that is about to run.
            steps: all steps, each after those that it needs.
        """
        stale, made = {step.name}, {output_dir(step)}
        for later in steps:
            if not made.isdisjoint(_read_folders(later)):
                stale.add(later.name)
                made.add(output_dir(later))
        kept = {name: seconds for name, seconds in self._content["seconds"].items() if name not in stale}
        if kept != self._content["seconds"]:
            self._content["seconds"] = kept
            side_files.write_json(self._path, self._content)

    def add(self, step: Step, seconds: float) -> None:
        """Records that a step is finished, and the time that it took, in seconds."""
        self._content["seconds"][step.name] = seconds
        side_files.write_json(self._path, self._content)

    def seconds_left(self, steps: Sequence[Step]) -> float | None:
        """Estimates the time of the steps that are not finished, from that of the finished ones; None without any."""
        known = {step: seconds for step in steps if (seconds := self.seconds(step)) is not None}
        cost = sum(step.cost for step in known)
        left = sum(step.cost for step in steps if step not in known)
        return left * sum(known.values()) / cost if cost else None


def _data_text(data: Mapping[str, str]) -> str:
    return " ".join(shell.flag(name, value) for name, value in data.items()) or "its own data"


def output_dir(step: Step) -> str:
    """Returns the folder that a step writes, relative to the working folder."""
    return str(_flags(step)["output_dir"])


def _flags(step: Step) -> Mapping[str, Any]:
    return parse([f"--flagfile={step.flagfile}"], _OPTIONS[step.verb]).flags()


def _read_folders(step: Step) -> Iterator[str]:
    """Yields the models and files of others that a step reads, and the folders around them."""
    flags = _flags(step)
    for name in _READ[step.verb]:
        for path in [flags[name]] if isinstance(flags[name], str) else flags[name]:
            yield from (path, *map(str, Path(path).parents))


def arguments(step: Step, options: ReproduceOptions) -> list[str]:
    """Returns the arguments of a step's verb: its flag file, and the data that the user names instead of the suite's.

    Args:
        step: the step.
        options: flags of the verb `reproduce`.
    """
    data = options.data()
    split = data.pop("test_split", "")
    given = {**data, **({_TEST_SPLIT[step.verb]: split} if split else {})}
    return [f"--flagfile={step.flagfile}", *(f"--{name}={value}" for name, value in given.items())]


def _say_plan(steps: Sequence[Step], progress: Progress) -> None:
    rows = []
    for step in steps:
        seconds = progress.seconds(step)
        rows.append((step.name, "to do" if seconds is None else f"done in {duration_text(seconds)}"))
    console.say_table(ShownTable(f"{len(steps)} steps", ("step", "state"), rows))


def _require_data(step: Step, options: ReproduceOptions) -> None:
    """Checks that the folder of the data exists, unless the data are of those that are drawn or downloaded.

    Raises:
        UserError: it does not exist.
    """
    read = parse(arguments(step, options), _OPTIONS[step.verb]).flags()
    if read["dataset"]:
        return
    if options.data_dir:
        paths.existing("data_dir", options.data_dir)
        return
    path = Path(options.output_dir, read["data_dir"])
    if not path.exists():
        here = "which exists here" if Path(read["data_dir"]).exists() else "once they are prepared"
        raise UserError(
            f"the suite {options.suite} looks for its data in {path}, which does not exist; name them with --data_dir "
            f"of vgg_keras.reproduce, such as {shell.flag('data_dir', read['data_dir'])}, {here}"
        )


def list_steps(options: ReproduceOptions) -> None:
    """Prints the steps of a suite and which of them are finished; writes, locks and downloads nothing.

    Args:
        options: flags of the verb.

    Raises:
        UserError: the working folder holds another suite.
    """
    _say_plan(list(SUITES[options.suite].steps()), Progress(Path(options.output_dir), options))


def run_step(step: Step, options: ReproduceOptions, run: Runner) -> float:
    """Runs a step to its end; returns the time that it took, in seconds.

    Args:
        step: the step.
        options: flags of the verb.
        run: function that runs a verb.

    Raises:
        UserError: the step failed.
        Stopped: the step was asked to stop.
    """
    begun = time.monotonic()
    given = arguments(step, options)
    status = run(f"vgg_keras.{step.verb}", given, Path(options.output_dir))
    if status == stopping.EXIT_STATUS:  # a signal came to it alone
        raise stopping.Stopped(signal.SIGTERM)
    if status < 0:
        name = signal.Signals(-status).name
        cause = ", most likely by the system for want of memory" if name == "SIGKILL" else ""
        raise UserError(f"{step.name} was ended by {name}{cause}; the same command goes on with it")
    if status:
        command = shlex.join(["python", "-m", f"vgg_keras.{step.verb}", *given])
        # A test never overwrites that of another model.
        tested = Path(options.output_dir, output_dir(step))
        hint = f" (if its model has been trained anew, remove {tested} first)" if step.verb == EVALUATE else ""
        where = f"{options.output_dir}{hint}"
        raise UserError(f"{step.name} failed with exit status {status}, as told above; run in {where}:  {command}")
    return time.monotonic() - begun


# Each step is a process of its own, and none of them is a worker of a cluster, whatever the environment describes.
_RUN: Runner = functools.partial(child_processes.run_module, without=cluster.VARIABLES)


def reproduce(options: ReproduceOptions, run: Runner = _RUN) -> None:
    """Runs the steps of a suite that are not finished, one after the other, and prints the tables.

    Args:
        options: flags of the verb.
        run: function that runs a verb.

    Raises:
        UserError: the working folder holds another suite, the data do not exist, or a step failed.
    """
    suite, folder = SUITES[options.suite], Path(options.output_dir)
    steps = list(suite.steps())
    with locks.locked(folder), stopping.advising("the same command goes on with the suite"):
        progress = Progress(folder, options)
        left = [step for step in steps if progress.seconds(step) is None]
        if left:
            _require_data(left[0], options)
        _say_plan(steps, progress)
        if left:
            console.say(f"the steps work in {folder}; the paths that they print are those there")
        for index, step in enumerate(steps, start=1):
            if progress.seconds(step) is not None:
                continue
            seconds = progress.seconds_left(steps)
            estimate = f"; about {duration_text(seconds)} left in all" if seconds is not None else ""
            console.say(f"\nstep {index} of {len(steps)}: {step.name}{estimate}")
            progress.begin(step, steps)
            progress.add(step, run_step(step, options, run))
        _say_plan(steps, progress)
        paper_tables.report(ReportOptions(evaluations_dir=folder / suite.evaluations))
