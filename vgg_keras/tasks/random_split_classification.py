"""Fits linear SVMs on random splits of all images of a data set (arXiv:1409.1556, appendix B, Caltech-101 and 256)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.data import shards
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import random_splits
from vgg_keras.evaluation.random_splits import RandomSplit
from vgg_keras.evaluation.split_results import fit_and_test_splits
from vgg_keras.tasks.features_options import FeaturesOptions, splits_file
from vgg_keras.utils import console, side_files
from vgg_keras.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class DrawnSplits:
    """Random splits of the images of several manifests, one after another.

    Attributes:
        splits: the splits, as indices of the images.
        labels: (N,) int32, class indices.
        names: names of the images, each with the name of its class in front.
    """

    splits: Sequence[RandomSplit]
    labels: np.ndarray
    names: Sequence[str]


def draw(manifests: Sequence[SplitManifest], options: FeaturesOptions) -> DrawnSplits | None:
    """Draws the random splits that the flags ask for, if they ask for any.

    Args:
        manifests: images of the data set's splits.
        options: flags of the verb.

    Raises:
        UserError: a class has too few images, or the data set's splits share images.
    """
    if not options.splits:
        return None
    if shards.share_records(manifests[0].data, [manifest.split for manifest in manifests]):
        raise UserError(
            f"--train_split={options.train_split} and --validation_split={options.validation_split} share images, "
            f"which --splits={options.splits} could draw for training and test at once; name splits that share none"
        )
    labels = np.concatenate([manifest.labels for manifest in manifests])
    class_names = manifests[0].data.class_names
    named = [(manifest, index, name) for manifest in manifests for index, name in enumerate(manifest.names)]
    names = [
        _with_class(name or f"{manifest.split}[{index}]", class_names[manifest.labels[index]])
        for manifest, index, name in named
    ]
    splits = random_splits.draw(
        labels,
        names,
        class_names,
        count=options.splits,
        train_per_class=options.train_per_class,
        test_per_class=options.test_per_class,
        seed=options.seed,
    )
    return DrawnSplits(splits, labels, names)


def _with_class(name: str, class_name: str) -> str:
    """Returns the name of an image with that of its class in front, as it already stands in data sets of data_prep."""
    return name if name.startswith(f"{class_name}/") else f"{class_name}/{name}"


def classify(described: Sequence[np.ndarray], drawn: DrawnSplits, options: FeaturesOptions) -> dict[str, Any]:
    """Fits and tests a linear SVM on each random split, prints the errors, and writes which images are in each split.

    Args:
        described: (n, D) float32, descriptors of the images of each manifest from which the splits were drawn.
        drawn: result of `draw`.
        options: flags of the verb.

    Returns:
        The figures, ready for JSON.
    """
    path = splits_file(Path(options.output))
    side_files.write_json(path, {"splits": [split.record(drawn.names) for split in drawn.splits]})
    results = fit_and_test_splits(np.concatenate(described), drawn.labels, drawn.splits, options.seed)
    console.say_table(results.shown())
    console.say(f"images of each split: {path}")
    return results.record()
