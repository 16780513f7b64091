"""Defines the options of `vgg_keras.features`; imports no TensorFlow, so that `--help` is quick."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.evaluation.linear_records import IMAGE, REGIONS
from vgg_keras.evaluation.voc_results import ARCHIVE, COMPETITIONS
from vgg_keras.inference.protocol import (
    AVERAGE,
    LINEAR,
    POWERS,
    STACK,
)
from vgg_keras.models import run_record
from vgg_keras.tasks.shared_options import DataOptions, ModelsOptions, ScaleOptions
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import LOCAL_STRATEGIES
from vgg_keras.utils.options import FILE, PathLike, option

# Training images of a class that a random split needs: one to fit the SVM, and one to choose C.
_FEWEST_TO_TRAIN = 2


def results_folder(output: Path) -> Path:
    """Returns the folder for PASCAL VOC's result files, beside the file of the descriptors."""
    return output.with_name(f"{output.stem}_results")


def numbers_file(output: Path) -> Path:
    """Returns the JSON file for the errors of the linear SVM, beside the file of the descriptors."""
    return output.with_suffix(".json")


def splits_file(output: Path) -> Path:
    """Returns the JSON file for the images of random splits, beside the file of the descriptors."""
    return output.with_suffix(".splits.json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeaturesOptions(DataOptions, ScaleOptions, ModelsOptions):
    """Options of `vgg_keras.features`."""

    model: PathLike | Sequence[PathLike] = option(
        (),
        "a .keras file or a run's folder; repeat the flag for each net whose descriptors are stacked",
        group="input",
        required=True,
        path=True,
        layout=run_record.LAYOUT,
    )
    train_split: str = option("train", "the split that the classifier learns from", group="data")
    validation_split: str = option("validation", "the split that it is tested on", group="data")
    max_images: int = option(0, "number of images of each split, from the first on; 0: all", group="data", lower=0)
    layer: str = option(
        "fc7",
        "layer whose outputs are taken: fc7, the penultimate one, or such as block5_pool; of several, "
        "block3_conv3,block4_conv3, the outputs side by side, each of length 1",
        group="features",
    )
    power: str = option(
        LINEAR,
        "sqrt: take the square root of each value, with its sign, by which a few large ones weigh less",
        group="features",
        choices=POWERS,
    )
    combine: str = option(
        AVERAGE, "how the descriptors of several scales are joined", group="features", choices=(AVERAGE, STACK)
    )
    regions: str = option(
        IMAGE,
        "of persons with a box, from data_prep.voc --task=actions: describe the image, the part of it inside the box, "
        "or both, side by side",
        group="features",
        choices=REGIONS,
    )
    classifier: bool = option(
        False, "fit a linear SVM on the training split and test it on the other", group="features"
    )
    splits: int = option(
        0,
        "number of random splits of the images of --train_split and --validation_split together, on each of which an "
        "SVM is fitted and tested, as the paper does on Caltech-101; 0: the two splits as they are",
        group="random splits",
        lower=0,
    )
    train_per_class: int = option(
        0,
        "with --splits: number of training images of each class, a fifth of which chooses C",
        group="random splits",
        lower=0,
    )
    test_per_class: int = option(
        0, "with --splits: largest number of test images of each class; 0: all others", group="random splits", lower=0
    )
    voc_year: str | int = option(
        "",
        "year of the PASCAL VOC challenge whose average precision is reported, until 2009 that of 11 points, then the "
        "area; empty: that of TFDS's voc, or 2012",
        group="features",
        choices=("", *map(str, range(2007, 2013))),
    )
    voc_results: str = option(
        "",
        "with --classifier, write the scores as PASCAL VOC's server takes them: for comp1 (classes) or comp9 (actions) "
        "if the net saw VOC's images alone, for comp2 or comp10 if it was trained on others, such as ImageNet's",
        group="output",
        choices=("", *COMPETITIONS),
    )
    seed: int = option(0, "seed of the random splits, or of the cross-validation's folds", group="features", lower=0)
    output: PathLike = option("", "the .npz file to write", group="output", required=True, output=FILE)
    batch_size: int = option(
        32, "images at a time: as many as have the pixels of this number of crops", group="devices", lower=1
    )
    strategy: str = option("auto", "how the work is shared out over devices", group="devices", choices=LOCAL_STRATEGIES)

    def validate(self) -> None:
        """Checks the flags that need others.

        Raises:
            UserError: one of them needs another one.
        """
        if self.voc_year and not self.classifier:
            raise UserError(
                f"--voc_year={self.voc_year} chooses the average precision that --classifier reports; give that, too"
            )
        if self.splits and not self.classifier:
            raise UserError(f"--splits={self.splits} draws the splits on which --classifier is tested; give that, too")
        if self.splits and self.train_per_class < _FEWEST_TO_TRAIN:
            raise UserError(
                f"--splits={self.splits} needs --train_per_class, the number of training images of each class, of at "
                f"least {_FEWEST_TO_TRAIN}: one to fit the SVM, and one to choose C"
            )
        for name in ("train_per_class", "test_per_class"):
            value = getattr(self, name)
            if value and not self.splits:
                raise UserError(f"--{name}={value} is for random splits; give their number, such as --splits=3")

    def layers(self) -> list[str]:
        """Returns the names of --layer.

        Raises:
            UserError: a name is empty, or appears twice.
        """
        names = [name.strip() for name in self.layer.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise UserError(f"--layer={self.layer} must be a layer, or different ones with commas between them")
        return names

    def output_files(self) -> list[tuple[str, PathLike]]:
        """Returns the descriptors' file, and beside it those of --classifier, of --splits and of --voc_results."""
        files, output = super().output_files(), Path(self.output)
        if not output.name:
            return files
        beside: dict[Path, object] = {
            numbers_file(output): self.classifier,
            splits_file(output): self.splits,
            results_folder(output) / ARCHIVE: self.classifier and self.voc_results,
        }
        return [*files, *(("output", path) for path, wanted in beside.items() if wanted)]
