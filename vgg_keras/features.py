"""Describes images by a net's penultimate layer, and classifies the descriptors (arXiv:1409.1556, appendix B).

python -m vgg_keras.features --model=models/vgg16.keras --data_dir=data/flowers --test_scales=256,384 --classifier \
    --output=features/flowers.npz
"""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.data import datasets
from vgg_keras.evaluation import linear_svm
from vgg_keras.evaluation.published import DENSE
from vgg_keras.inference import descriptors, loading
from vgg_keras.inference.descriptors import AVERAGE, STACK
from vgg_keras.inference.loading import ModelUnderTest, Protocol
from vgg_keras.inference.posteriors import SCORES
from vgg_keras.inference.views import ImagesUnderTest, Survey
from vgg_keras.training.checkpoints import write_atomically
from vgg_keras.utils import cli, devices
from vgg_keras.utils.cli import UserError, option


@dataclasses.dataclass(frozen=True)
class FeaturesOptions:
    """Flags of `vgg_keras.features`."""

    model: tuple[str, ...] = option(
        (), "a .keras file or a run's folder; again for each net whose descriptors are stacked", required=True
    )
    data_dir: str = option("", "a data set written by data_prep, or TFDS's root folder where --dataset names one there")
    dataset: str = option("", "a TFDS data set by name, such as tf_flowers")
    train_split: str = option("train", "the split that the classifier learns from")
    validation_split: str = option("validation", "the split that it is tested on")
    layer: str = option("fc7", "whose outputs: the penultimate layer, or another, such as block5_pool")
    test_scales: str = option(
        "", "Q,...: smallest sides; single or multi: the paper's for the run's training scale; empty: single"
    )
    combine: str = option(AVERAGE, "what is done with several scales", choices=(AVERAGE, STACK))
    flip: bool = option(True, "average the descriptor with that of the mirror image")
    classifier: bool = option(False, "fit a linear SVM on the training split and test it on the other")
    max_images: int = option(0, "describe only the first so many images of each split; 0: all", lower=0)
    batch_size: int = option(32, "images at a time, as many pixels as so many crops have", lower=1)
    strategy: str = option("auto", "how the work is spread over devices", choices=("auto", "one_device", "mirrored"))
    seed: int = option(0, "of the cross-validation's folds", lower=0)
    output: str = option("", "the .npz file to write", required=True)


def working_folder(models: Sequence[ModelUnderTest], images: Sequence[ImagesUnderTest], flags: FeaturesOptions) -> Path:
    """Returns the folder in which a run of these settings keeps what it has, should it be killed."""
    content = {
        "models": [model.identity() for model in models],
        "images": [of_split.identity() for of_split in images],
        "layer": flags.layer,
        "flip": flags.flip,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    output = Path(flags.output)
    return output.with_name(f"{output.stem}.{digest}.partial")


def describe(
    models: Sequence[ModelUnderTest], images: Mapping[str, ImagesUnderTest], folder: Path, flags: FeaturesOptions
) -> dict[str, np.ndarray]:
    """Returns the descriptors of each split by all nets, stacked: {split: (N, D) float32}."""
    strategy, _ = devices.make_strategy(flags.strategy, one_process=True)
    functions = [
        descriptors.descriptor_function(model, flags.layer, flip=flags.flip, strategy=strategy) for model in models
    ]
    for model, of_split in itertools.product(models, images.values()):
        of_split.survey.check_extents(max(model.test_scales), model.input_size, flags.batch_size)
    folder.mkdir(parents=True, exist_ok=True)
    shared = {"combine": flags.combine, "folder": folder, "batch_size": flags.batch_size}
    return {
        split: descriptors.combined(
            [
                descriptors.describe(function, model, of_split, place=place, **shared)
                for place, (function, model) in enumerate(zip(functions, models, strict=True))
            ],
            STACK,
        )
        for split, of_split in images.items()
    }


def main(flags: FeaturesOptions) -> None:
    """Describes both splits by each net, writes the descriptors, and classifies them if asked to."""
    output = Path(flags.output)
    if output.suffix != ".npz":
        raise UserError(f"--output={output} must end in .npz")
    if flags.classifier:
        linear_svm.require_library()
    data = datasets.open_data(flags.data_dir, flags.dataset, multi_label=True)
    protocol = Protocol(DENSE, flags.test_scales, flags.flip, SCORES)
    models = [loading.inspect(path, protocol) for path in flags.model]
    for model in models:
        if model.saved:
            raise UserError(f"{model.path} holds posteriors of an evaluation; descriptors need the model itself")
    images = {
        split: ImagesUnderTest(data, split, Survey.of(data, split, flags.max_images))
        for split in (flags.train_split, flags.validation_split)
    }
    folder = working_folder(models, list(images.values()), flags)
    described = describe(models, images, folder, flags)
    arrays = {"label_names": np.array(list(data.label_names))}
    for key, split in (("train", flags.train_split), ("validation", flags.validation_split)):
        arrays[f"features_{key}"] = described[split]
        arrays[f"labels_{key}"] = images[split].survey.labels
        arrays[f"files_{key}"] = np.array(images[split].survey.names)
    write_atomically(output, lambda temporary: np.savez(temporary, **arrays))
    shutil.rmtree(folder)
    for key in ("train", "validation"):
        count, width = arrays[f"features_{key}"].shape
        print(f"features_{key}: {count:,} descriptors of {width:,} numbers, length 1")
    print(f"written: {output}; read it with numpy.load")
    if flags.classifier:
        result = linear_svm.fit_and_test(
            *(arrays[f"{what}_{key}"] for key in ("train", "validation") for what in ("features", "labels")),
            seed=flags.seed,
        )
        print(result)
        record = json.dumps(dataclasses.asdict(result), indent=2) + "\n"
        place = output.with_suffix(".json")
        write_atomically(place, lambda temporary: temporary.write_text(record, encoding="utf-8"))
        print(f"numbers: {place}")


if __name__ == "__main__":
    cli.run(main, FeaturesOptions)
