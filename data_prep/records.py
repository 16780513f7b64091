"""Follows TFDS's rules for record files: their order, their number, their names, and the files that describe them.

Worker processes must not import this module, since it loads TensorFlow.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.utils import shard_utils

from data_prep import tfrecords
from data_prep.pieces import Pieces
from data_prep.sources import Source
from vgg_keras.utils.errors import UserError

VERSION = "1.0.0"


def dataset_name(source: Source) -> str:
    """Returns the name of a source's data set in the form that TFDS requires."""
    return re.sub(r"\W+", "_", source.name.lower()).strip("_") or "images"


def record_order(split: str, pieces: Pieces) -> list[int]:
    """Returns the numbers of a split's images in the order of their records, which is that of TFDS's hash of the keys.

    Raises:
        UserError: a key appears twice.
    """
    hasher = hashing.Hasher(split)
    # TFDS writes keys with slashes on Windows too.
    hashes = [hasher.hash_key(name.replace(b"\\", b"/")) for name in pieces.all_names()]
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    for number, following in itertools.pairwise(order):
        if hashes[number] == hashes[following]:
            key = pieces[number].key
            raise UserError(f"{split}: the key {key} appears twice; every image needs a name of its own")
    return order


def shard_ends(pieces: Pieces) -> list[int]:
    """Returns the number of records up to the end of each record file of a split, as TFDS divides them."""
    total = int(tfrecords.example_sizes(pieces.sizes, pieces.labels, pieces.name_sizes).sum())
    num_shards = shard_utils.ShardConfig().get_number_shards(total, len(pieces))
    return list(shard_utils.get_shard_boundaries(len(pieces), num_shards))


def shard_name(source: Source, split: str, shard: int, num_shards: int) -> str:
    """Returns the name of a record file."""
    return f"{dataset_name(source)}-{split}.tfrecord-{shard:05}-of-{num_shards:05}"


def features(source: Source) -> dict[str, tfds.features.FeatureConnector]:
    """Returns the features of a source's records.

    Objects, and the labels of images that have several, are named as in TFDS's own "voc". "box" is that of the
    object that a record is of.
    """
    label = tfds.features.ClassLabel(names=source.class_names)
    several = tfds.features.Sequence(label)
    labels = {"labels": several, "labels_no_difficult": several} if source.multi_label else {"label": label}
    one = {"bbox": tfds.features.BBoxFeature(), "label": label, "is_difficult": np.bool_}
    return {
        "image": tfds.features.Image(shape=(None, None, 3)),
        **labels,
        "file_name": tfds.features.Text(),
        **({"objects": tfds.features.Sequence(one)} if source.has_boxes else {}),
        **({"box": tfds.features.BBoxFeature()} if source.one_object else {}),
    }


def write_info(
    source: Source, shard_lengths: Mapping[str, Sequence[int]], sizes: Mapping[str, int], folder: Path
) -> None:
    """Writes the files that describe a data set, so that `tfds.builder_from_directory` reads it.

    `as_dataset(as_supervised=True)` gives pairs (image, label) of the result, where each image has one label.

    Args:
        source: the source, for the data set's name, description and classes.
        shard_lengths: for each split the numbers of records of its files.
        sizes: for each split the bytes of its records, without their frames.
        folder: the folder that holds the record files.
    """
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=dataset_name(source), version=tfds.core.Version(VERSION), data_dir=str(folder), module_name=__name__
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=source.description,
        features=tfds.features.FeaturesDict(features(source)),
        supervised_keys=None if source.multi_label else ("image", "label"),
    )
    info.set_file_format("tfrecord")
    splits = [
        tfds.core.SplitInfo(name=split, shard_lengths=list(lengths), num_bytes=sizes[split])
        for split, lengths in shard_lengths.items()
    ]
    info.set_splits(tfds.core.SplitDict(splits))
    info.write_to_directory(folder)
