"""Measures the package against other ways to do the same work, as ratios of times.

python -m benchmarks --output_dir=benchmark_results
python -m benchmarks input_pipeline fixed_cost --quick
"""

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness import environment, runner, suite
from benchmarks.harness.definitions import Settings
from benchmarks.harness.report import MARKDOWN, Compared, Report, cells
from benchmarks.harness.runner import Row
from vgg_keras.models import run_record
from vgg_keras.utils import cli, console, paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import NEW_FOLDER, Options, PathLike, option
from vgg_keras.utils.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarksOptions(Options):
    """Options of `python -m benchmarks`."""

    names: tuple[str, ...] = option((), "the benchmarks to run; none: all", positional=True)
    list: bool = option(False, "list the benchmarks, and run none", group="run")
    quick: bool = option(
        False, "seconds for each benchmark, on small nets and few photos; such figures cannot be quoted", group="run"
    )
    data_dir: PathLike = option(
        "", "a data set of photos with the splits train and validation; empty: drawn photos", group="data", path=True
    )
    model: PathLike = option(
        "",
        "a trained model, a .keras file or a run's folder, for serving_precision; empty: net D with random weights",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    output_dir: PathLike = option(
        "",
        "a new folder for the table as Markdown and JSON; empty: the table is printed only",
        group="output",
        output=NEW_FOLDER,
    )


def main(options: BenchmarksOptions) -> None:
    """Runs the benchmarks, prints their table, and writes it.

    Raises:
        UserError: a benchmark or an input does not exist, a benchmark fails, or the machine was busy, so that no figure
            may be quoted.
    """
    if options.list:
        console.say(suite.listing())
        return
    names = suite.choose(options.names)
    for flag, path in (("data_dir", options.data_dir), ("model", options.model)):
        if path:
            paths.existing(flag, path)
    # TensorFlow's notes about the CPU and missing GPUs, in all processes that are started.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    described = environment.describe()
    rows, failed = _measure_all(names, options)
    report = Report(rows, {name: _compared(name) for name in names}, described, options.quick, failed)
    console.say_table(report.table())
    console.say("\n".join(report.notes()))
    if options.output_dir:
        report.write(Path(options.output_dir))
    if failed:
        raise UserError(f"{counted(len(failed), 'benchmark')} failed: {', '.join(failed)}")
    if report.refused:
        raise UserError(
            f"other processes used the machine during {counted(len(report.refused), 'figure')}, which cannot be "
            f"quoted; no {MARKDOWN} is written: run again on a quiet machine"
        )


def _measure_all(names: Sequence[str], options: BenchmarksOptions) -> tuple[Sequence[Row], Mapping[str, str]]:
    """Returns the rows of some benchmarks, and why any failed, by its name; one that fails does not stop the others."""
    rows: list[Row] = []
    ends = {name: _measure_into(rows, name, options) for name in names}
    return rows, {name: why for name, why in ends.items() if why}


def _measure_into(rows: list[Row], name: str, options: BenchmarksOptions) -> str:
    """Appends the rows of a benchmark, shows each, and returns why the benchmark failed, or ""."""
    try:
        for row in _measured(name, options):
            rows.append(row)
            shown, ours, peer, ratio, *_, remark = cells(row)
            console.say(f"{shown}: {ours} against {peer}, ratio {ratio}{f' ({remark})' if remark else ''}")
    except UserError as error:
        console.warn(f"{name} failed: {error}")
        return str(error)
    return ""


def _measured(name: str, options: BenchmarksOptions) -> Iterator[Row]:
    """Yields the rows of a benchmark, each as soon as it is measured."""
    with cli.loading_libraries():
        benchmark = suite.load(name)
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(
            quick=options.quick,
            scratch=Path(scratch),
            data_dir=os.path.abspath(options.data_dir) if options.data_dir else "",
            model=os.path.abspath(options.model) if options.model else "",
        )
        with benchmark.prepare(settings) as figures:
            for figure in figures:
                yield runner.measure(name, benchmark, figure, runner.QUICK if options.quick else runner.FULL)


def _compared(name: str) -> Compared:
    benchmark = suite.load(name)
    return Compared(suite.summary(name), benchmark.ours, benchmark.peer, benchmark.ceiling)


if __name__ == "__main__":
    cli.run(main, BenchmarksOptions)
