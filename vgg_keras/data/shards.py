"""Checks the record files ("shards") of a data set: that they are there, complete, and hold images and labels."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from vgg_keras.data import box_records, boxes
from vgg_keras.data.decoding_check import image_problem
from vgg_keras.data.tfrecord_frames import FRAME_BYTES
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.shell import command

T = TypeVar("T")
# What TensorFlow raises about a record that is damaged or missing; of too few records a `FailedPreconditionError`.
_RECORD_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    UnicodeDecodeError,  # in place of an error whose message quotes a damaged record
)


def shard_problems(shard: Path, num_records: int, data: Any, *, decode: bool) -> Iterator[str]:
    """Reads one shard and checks the checksum, the label, the boxes and the image of each record.

    Args:
        shard: the record file.
        num_records: number of records that the file should hold.
        data: the `datasets.ImageData` that the shard belongs to.
        decode: whether the images are decoded too, which takes much longer than reading them.

    Yields:
        A line for each broken record, and one if the number of records is wrong. Records after one with a wrong
        checksum cannot be read.
    """
    if not shard.exists():
        yield f"{shard.name}: missing"
        return
    record = -1
    try:
        for record, serialized in enumerate(tf.data.TFRecordDataset(str(shard))):
            problem = _record_problem(serialized, data, decode=decode)
            if problem:
                yield f"{shard.name}: record {record} {problem}"
    except tf.errors.OpError as error:
        yield f"{shard.name}: record {record + 1} is damaged: {reason(error)}"
        return
    if record + 1 != num_records:
        yield f"{shard.name}: {record + 1:,} records, should be {num_records:,}"


def _record_problem(serialized: tf.Tensor, data: Any, *, decode: bool) -> str:
    features = {data.image_key: tf.io.FixedLenFeature((), tf.string), data.label_key: tf.io.VarLenFeature(tf.int64)}
    if data.has_boxes:
        features |= box_records.parsed_features(data.objects_key)
    if data.box_key:
        features[data.box_key] = tf.io.FixedLenFeature((boxes.SIZE,), tf.float32)
    if data.name_key:
        features[data.name_key] = tf.io.FixedLenFeature((), tf.string, "")
    try:
        example = tf.io.parse_single_example(serialized, features)
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        return f"does not decode: {reason(error)}"
    name = example[data.name_key].numpy().decode(errors="replace") if data.name_key else ""
    named = f" ({name})" if name else ""
    problem = image_problem(example[data.image_key].numpy()) if decode else ""
    if problem:
        return problem + named
    labels = example[data.label_key].values.numpy().tolist()
    if not data.multi_label and len(labels) != 1:
        return f"has {len(labels)} labels, should have one{named}"
    wrong = [label for label in labels if not -1 <= label < len(data.class_names)]
    if wrong:
        return f"has label {wrong[0]}, of {len(data.class_names)} classes{named}"
    if data.box_key and (problem := box_records.corners_problem(example[data.box_key].numpy()[None])):
        return problem + named
    problem = (
        box_records.box_problem(example, data.objects_key, labels, len(data.class_names)) if data.has_boxes else ""
    )
    return problem and problem + named


def missing_shards(data: Any, split: str) -> list[Path]:
    """Returns the record files of a split that are missing."""
    return [path for path in map(Path, data.builder.info.splits[split].filepaths) if not path.exists()]


def share_records(data: Any, splits: Iterable[str]) -> bool:
    """Returns whether any two of some splits, such as "train" and "train[90%:]", have a record in common."""
    instructions = [one for split in splits for one in data.builder.info.splits[split].file_instructions]
    records = [
        (one.filename, index)
        for one in instructions
        for index in range(one.skip, one.examples_in_shard if one.take == -1 else one.skip + one.take)
    ]
    return len(set(records)) < len(records)


def split_of_other_size(data: Any, split: str) -> str:
    """Returns the name of a whole split that `split` is of, and whose files do not have the size that they should have.

    This tells at once, without reading them, whether a file was cut or is longer than the data set's description says.
    """
    used = set(map(str, data.builder.info.splits[split].filepaths))
    for name, info in data.builder.info.splits.items():
        paths = [Path(path) for path in info.filepaths]
        if used.isdisjoint(map(str, paths)) or not info.num_bytes or ".tfrecord" not in paths[0].name:
            continue
        if sum(path.stat().st_size for path in paths) != info.num_bytes + FRAME_BYTES * info.num_examples:
            return name
    return ""


def first_problem(data: Any, splits: Iterable[str] = ()) -> str:
    """Looks for the first broken record, with a progress bar; images are not decoded.

    Args:
        data: the `datasets.ImageData`.
        splits: names of whole splits to look in; empty for all.

    Returns:
        A line that names the shard, or "" if all of them hold the right number of records with labels.
    """
    infos = data.builder.info.splits
    shards = [
        (Path(path), length)
        for split in splits or infos
        for path, length in zip(infos[split].filepaths, infos[split].shard_lengths, strict=True)
    ]
    with progress_bar("looking for the broken record", len(shards), " shards", iterable=shards, leave=False) as bar:
        return next(_problems(bar, data), "")


def _problems(shards: Iterable[tuple[Path, int]], data: Any) -> Iterator[str]:
    for shard, length in shards:
        yield from shard_problems(shard, length, data, decode=False)


def broken(data: Any, problem: str) -> UserError:
    """Returns the error about a broken record, with the command that lists all of them."""
    folder = data.builder.data_dir
    return UserError(f"{folder}: {problem}; {command('data_prep.verify', data_dir=folder)} lists all such records")


@contextlib.contextmanager
def broken_records(data: Any) -> Iterator[None]:
    """Turns TensorFlow's errors about unreadable records into a `UserError` that names the shard and the record.

    Args:
        data: the `datasets.ImageData` that is read inside the context, in which nothing else is done: TensorFlow raises
            the same errors for much else.

    Raises:
        UserError: a record is damaged or missing, or holds no image.
    """
    try:
        yield
    except _RECORD_ERRORS as error:
        raise broken(data, first_problem(data) or f"a record cannot be read ({reason(error)})") from error


def read(data: Any, batches: Iterable[T]) -> Iterator[T]:
    """Yields batches of a data set; what goes wrong as one is read is told as by `broken_records`, and nothing else.

    Raises:
        UserError: a record is damaged or missing, or holds no image.
    """
    with broken_records(data):
        yield from batches
