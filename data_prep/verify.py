"""Checks every record of a data set and names the broken ones.

python -m data_prep.verify --data_dir=data/flowers
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vgg_keras.utils import cli, console
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """Flags of `data_prep.verify`."""

    data_dir: str = option("", "a data set in TFDS format", required=True, group="input")


def shard_problems(shard: Path, num_records: int, data) -> Iterator[str]:
    """Reads one shard and checks the checksum, the label and the image of each record.

    Args:
        shard: the record file.
        num_records: number of records that the file should hold.
        data: the `datasets.ImageData` that the shard belongs to.

    Yields:
        A line for each broken record, and one if the number of records is wrong. Records after one with a wrong
        checksum cannot be read.
    """
    import tensorflow as tf

    from vgg_keras.data import transforms

    features = data.builder.info.features
    num_classes = features[data.label_key].num_classes
    partial = {
        data.image_key: tf.io.FixedLenFeature((), tf.string),
        data.label_key: tf.io.FixedLenFeature((), tf.int64),
    }
    record = -1
    try:
        for record, serialized in enumerate(tf.data.TFRecordDataset(str(shard))):
            try:
                example = tf.io.parse_single_example(serialized, partial)
                transforms.decode(example[data.image_key])
            except tf.errors.InvalidArgumentError as error:
                yield f"{shard.name}: record {record} does not decode: {reason(error)}"
                continue
            label = int(example[data.label_key])
            if not -1 <= label < num_classes:
                yield f"{shard.name}: record {record} has label {label}, of {num_classes} classes"
    except tf.errors.OpError as error:
        yield f"{shard.name}: record {record + 1} is damaged: {reason(error)}"
        return
    if record + 1 != num_records:
        yield f"{shard.name}: {record + 1} records, should be {num_records}"


def main(options: VerifyOptions) -> None:
    """Verifies every shard of every split, and prints the broken records.

    Raises:
        UserError: the data set cannot be opened, or a record is broken or missing.
    """
    with cli.loading_libraries():
        from vgg_keras.data import datasets
    data = datasets.open_data(options.data_dir)
    problems: list[str] = []
    num_records = 0
    for split, info in data.builder.info.splits.items():
        shards = list(zip(info.filepaths, info.shard_lengths, strict=True))
        for path, length in console.progress_bar(split, len(shards), " shards", iterable=shards):
            shard = Path(path)
            num_records += length
            found = [f"{shard.name}: missing"] if not shard.exists() else list(shard_problems(shard, length, data))
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
