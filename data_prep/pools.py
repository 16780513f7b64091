"""Chooses the processes that write a data set: those of this machine, or the workers of an Apache Beam runner."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from data_prep import beam_job
from data_prep.beam_options import as_arguments
from data_prep.beam_pool import BeamPool
from data_prep.parts import Part, PartResult, write_part
from data_prep.workers import Pool
from vgg_keras.data import decoding_memory
from vgg_keras.utils.child_processes import SPAWN
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.options import Options, option
from vgg_keras.utils.shell import flag


class PartPool(Protocol):
    """Processes that write parts."""

    def run(self, tasks: Iterable[Part], progress: Callable[[int], object]) -> Iterator[PartResult]:
        """Writes parts, and yields their results as they are finished; tells how many more images are done."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolOptions(Options):
    """Flags that choose the processes.

    Raises:
        UserError: two of them contradict each other, or --beam_options cannot be read.
    """

    num_workers: int = option(
        0, "number of processes that decode and write; 0: one for each core; 1: the verb's own", lower=0, group="run"
    )
    beam_runner: str = option(
        "",
        "runner of Apache Beam whose workers decode and write, such as DirectRunner, FlinkRunner, SparkRunner or "
        "DataflowRunner; empty: processes of this machine",
        group="run",
    )
    beam_options: str = option(
        "",
        "options of Beam, as name=value,name=value or as a JSON object, such as "
        "direct_num_workers=2,direct_running_mode=multi_processing",
        group="run",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_options and not self.beam_runner:
            raise UserError(f"{flag('beam_options', self.beam_options)} has no effect without --beam_runner")
        if self.beam_runner and self.num_workers:
            raise UserError(
                f"--num_workers={self.num_workers} is for the processes of this machine alone, and not for "
                f"{flag('beam_runner', self.beam_runner)}; the option of the direct runner is "
                "--beam_options=direct_num_workers=N,direct_running_mode=multi_processing"
            )
        as_arguments(self.beam_options)

    def check_runner(self) -> None:
        """Checks that Beam, if it is to be used, is installed and accepts its options.

        Raises:
            UserError: it is not, or does not.
        """
        if self.beam_runner:
            beam_job.check(self.beam_runner, self.beam_options)


def make_pool(options: PoolOptions, folder: Path, num_parts: int) -> AbstractContextManager[PartPool]:
    """Returns the processes that write the parts of a data set; they end with the context.

    Args:
        options: the flags.
        folder: folder through which the workers of Beam are given their parts.
        num_parts: number of parts, at most, that can be written at the same time.
    """
    if options.beam_runner:
        return BeamPool(folder, options.beam_runner, options.beam_options)
    num_workers = min(options.num_workers or cpu_count(), num_parts)
    memory = decoding_memory.DecodingMemory.of_machine(SPAWN)
    return Pool(write_part, num_workers, functools.partial(decoding_memory.share, memory))
