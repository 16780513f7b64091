"""Checks every record of a data set and names the broken ones.

python -m data_prep.verify --data_dir=data/flowers
"""

import dataclasses
from functools import partial
from pathlib import Path

from vgg_keras.utils import cli, console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, PathLike, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Flags of `data_prep.verify`."""

    data_dir: PathLike = option("", "a data set in TFDS format", required=True, group="input", path=True)


def main(options: VerifyOptions) -> None:
    """Verifies every shard of every split, and prints the broken records.

    Raises:
        UserError: the data set cannot be opened, or a record is broken or missing.
    """
    with cli.loading_libraries():
        from vgg_keras.data import datasets, shards
    data = datasets.open_data(options.data_dir, multi_label=True)
    problems: list[str] = []
    num_records = 0
    for split, info in data.builder.info.splits.items():
        files = list(zip(info.filepaths, info.shard_lengths, strict=True))
        for path, length in console.progress_bar(split, len(files), " shards", iterable=files):
            num_records += length
            found = list(shards.shard_problems(Path(path), length, data, decode=True))
            for problem in found:
                console.warn(f"{split}: {problem}")
            problems += found
    if problems:
        raise UserError(
            f"{options.data_dir}: {len(problems)} problems in {num_records:,} records (listed above); write it again"
        )
    console.say(f"{options.data_dir}: {num_records:,} records read, counted and decoded; all are whole")


run = partial(cli.run, main, VerifyOptions)

if __name__ == "__main__":
    run()
