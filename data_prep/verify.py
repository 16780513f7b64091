"""Checks every record of a data set and names the broken ones.

python -m data_prep.verify --data_dir=data/flowers

It also warns of photos that stand in two splits.
"""

import dataclasses
from functools import partial
from pathlib import Path

from vgg_keras.utils import cli, console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, PathLike, option
from vgg_keras.utils.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Flags of `data_prep.verify`."""

    data_dir: PathLike = option("", "a data set in TFDS format", required=True, group="input", path=True)


def main(options: VerifyOptions) -> None:
    """Verifies every shard of every split, and prints the broken records; then compares the photos of the splits.

    Raises:
        UserError: the data set cannot be opened, or a record is broken or missing.
    """
    with cli.loading_libraries():
        from data_prep import croissant, shared_photos
        from vgg_keras.data import datasets, shards
    data = datasets.open_data(options.data_dir, multi_label=True)
    counts = {split: info.num_examples for split, info in data.builder.info.splits.items()}
    problems = croissant.problems(Path(data.builder.data_dir), counts)
    for problem in problems:
        console.warn(problem)
    num_records = 0
    for split, info in data.builder.info.splits.items():
        files = list(zip(info.filepaths, info.shard_lengths, strict=True))
        for path, length in console.progress_bar(split, len(files), " shards", iterable=files):
            num_records += length
            for problem in shards.shard_problems(Path(path), length, data, decode=True):
                console.warn(f"{split}: {problem}")
                problems.append(problem)
    if problems:
        found = f"{counted(len(problems), 'problem')} in {num_records:,} records"
        raise UserError(f"{options.data_dir}: {found} (listed above); write it again")
    for found in shared_photos.between_splits(data):
        console.warn(found)
    console.say(f"{options.data_dir}: {num_records:,} records read, counted and decoded; all are whole")


run = partial(cli.run, main, VerifyOptions)

if __name__ == "__main__":
    run()
