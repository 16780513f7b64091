"""Measures what a verb costs that has nothing to do: its help, or a mistyped flag.

The help and the errors of the command line need no TensorFlow, whose import takes seconds.
"""

import contextlib
from collections.abc import Iterator, Sequence

from benchmarks.harness import sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings

_EMPTY = ("-c", "pass")
_IMPORT = ("-c", "import tensorflow")
# Command line and exit status of each figure.
_COMMANDS = {
    "train --nett=A, a mistyped flag": (("-m", "vgg_keras.train", "--nett=A"), 1),
    "train --help": (("-m", "vgg_keras.train", "--help"), 0),
    "report --help": (("-m", "vgg_keras.report", "--help"), 0),
}


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for each command, or quickly for the first."""
    commands = list(_COMMANDS.items())[: 1 if settings.quick else None]
    yield [
        Figure(
            name=name,
            ours=sides.command(*arguments, status=status),
            peer=sides.command(*_IMPORT),
            ceiling=sides.command(*_EMPTY),
        )
        for name, (arguments, status) in commands
    ]


BENCHMARK = Benchmark(
    ours="the whole process of python -m vgg_keras.VERB",
    peer='the whole process of python -c "import tensorflow"',
    ceiling="the whole process of python -c pass",
    prepare=prepare,
)
