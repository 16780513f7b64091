"""Defines the options of the verbs that use trained models; imports no TensorFlow, so that `--help` is quick."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.evaluation import layout
from vgg_keras.evaluation.linear_records import IMAGE, REGIONS
from vgg_keras.evaluation.voc_results import ARCHIVE, COMPETITIONS
from vgg_keras.inference.protocol import (
    AVERAGE,
    AVERAGES,
    CENTER_CROP,
    DENSE,
    LINEAR,
    METHODS,
    MULTI_CROP,
    OWN,
    POWERS,
    SCORES,
    STACK,
    TestProtocol,
)
from vgg_keras.models import run_record
from vgg_keras.models.architectures import ALIASES, CLASSIFICATION, NETS, TASKS
from vgg_keras.models.preparation import SQUASH
from vgg_keras.tasks.suites import SUITES
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import LOCAL_STRATEGIES
from vgg_keras.utils.options import FILE, FOLDER, Options, PathLike, option

SAVED_MODEL, ONNX, TFLITE = "saved_model", "onnx", "tflite"
# Training images of a class that a random split needs: one to fit the SVM, and one to choose C.
_FEWEST_TO_TRAIN = 2


def require_defaults(options: Options, flags: Sequence[str]) -> None:
    """Checks, for a model that predicts boxes, that flags which have no meaning for it are left out.

    Raises:
        UserError: one of the flags has another value than its default.
    """
    for flag, value in options.flags().items():
        if flag in flags and value != options.defaults()[flag]:
            raise UserError(
                f"--{flag}={value} is for models that predict classes; leave it out for one that predicts boxes"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of every verb that reads a data set."""

    data_dir: PathLike = option(
        "",
        "a data set written by data_prep, or TFDS's root folder where --dataset names one there",
        group="data",
        path=True,
    )
    dataset: str = option("", "a TFDS data set by name, such as tf_flowers", group="data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaleOptions(Options):
    """Options of every verb that shows images to a trained net."""

    test_scales: str | int | Sequence[int] = option(
        "",
        "test scales Q, the smallest side in pixels: 256, or 256,384,512; single or multi: those of the paper for the "
        "training scale; empty: single",
        group="test protocol",
    )
    flip: bool | None = option(
        None,
        "average each view with its mirror image; default: yes, but not for the centre crop",
        group="test protocol",
    )

    def protocol(self) -> TestProtocol:
        """Returns the protocol that the options describe."""
        return TestProtocol(DENSE, str(self.test_scales), self.flip)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProtocolOptions(ScaleOptions):
    """Options of the verbs that compute posteriors."""

    method: str = option(
        OWN,
        "what the net is shown: dense: the whole image; multi_crop: a 5x5 grid of crops; center_crop: the centre; "
        "squash: the whole, resized to the input whatever its shape; empty: squash if it was validated so, else dense",
        choices=(OWN, DENSE, MULTI_CROP, CENTER_CROP, SQUASH),
        group="test protocol",
    )
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES, group="test protocol")

    def protocol(self) -> TestProtocol:
        """Returns the protocol that the options describe."""
        return TestProtocol(self.method, str(self.test_scales), self.flip, self.average)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelsOptions(Options):
    """Options of the verbs that take several models; each verb describes the flag itself."""

    model: PathLike | Sequence[PathLike]

    def model_paths(self) -> list[Path]:
        """Returns the paths of the models."""
        assert isinstance(self.model, tuple)  # a single path became a tuple when the options were made
        return [Path(path) for path in self.model]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DataOptions, ProtocolOptions, ModelsOptions):
    """Options of `vgg_keras.evaluate`."""

    task: str = option(
        CLASSIFICATION,
        "what is tested: classification, or localization: the boxes of a net that train --task=localization made",
        choices=TASKS,
        group="input",
    )
    classifier: PathLike | Sequence[PathLike] = option(
        (),
        "for --task=localization --method=dense: the .keras file or run of the net that chooses the classes and scores "
        "the boxes; saved posteriors (.npz) beside it choose the classes in its place",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    model: PathLike | Sequence[PathLike] = option(
        (),
        "a .keras file, a run's folder, or saved posteriors or boxes (.npz); repeat the flag for each model to fuse",
        group="input",
        required=True,
        path=True,
        layout=run_record.LAYOUT,
    )
    method: str = option(
        OWN,
        "what the net is shown: dense: the whole image; multi_crop: a 5x5 grid of crops; both: the mean of the two; "
        "center_crop: the centre; squash: the whole, resized to the input whatever its shape; empty: squash if the "
        "models were validated so, else dense",
        choices=(OWN, *METHODS),
        group="test protocol",
    )
    split: str = option("validation", "the split that is tested", group="data")
    max_images: int = option(0, "number of images to test, from the first on; 0: all", group="data", lower=0)
    output_dir: PathLike = option(
        "",
        "the evaluation's folder; one that was killed is resumed there",
        group="output",
        required=True,
        output=FOLDER,
        layout=layout.WRITTEN,
    )
    save_posteriors: bool = option(
        False,
        "keep each model's posteriors as .npz, to be fused later; with --task=localization, its boxes",
        group="output",
    )
    compare: PathLike = option(
        "",
        "the folder of another evaluation of the same images, with whose last result the last one of this is compared",
        group="output",
        path=True,
        layout=layout.COMPARED,
    )
    batch_size: int = option(
        32, "crops at a time; whole images as many as have the same number of pixels", group="devices", lower=1
    )
    strategy: str = option("auto", "how the work is shared out over devices", group="devices", choices=LOCAL_STRATEGIES)
    cpu_devices: int = option(
        1, "number of devices that the CPU is split into, to try --strategy=mirrored", group="devices", lower=1
    )

    def classifier_paths(self) -> list[Path]:
        """Returns the paths of --classifier."""
        assert isinstance(self.classifier, tuple)  # as for the models
        return [Path(path) for path in self.classifier]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictOptions(ProtocolOptions):
    """Options of `vgg_keras.predict`."""

    paths: tuple[PathLike, ...] = option((), "photos: files, folders, globs", group="input", positional=True, path=True)
    model: PathLike = option(
        "", "a .keras file or a run's folder", group="input", required=True, path=True, layout=run_record.LAYOUT
    )
    classifier: PathLike = option(
        "",
        "for a --model that predicts boxes: the .keras file or run of the net that chooses and scores the classes",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    top: int = option(5, "number of labels to give each photo", group="output", lower=1)
    csv: PathLike = option(
        "", "CSV file to write the labels to, and boxes if there are any", group="output", output=FILE
    )
    json: PathLike = option(
        "", "JSON file to write the labels to, and boxes if there are any", group="output", output=FILE
    )
    output_dir: PathLike = option(
        "",
        "folder to write each photo to, with its labels and posteriors, and perhaps the box of the best label, on it",
        group="output",
        output=FOLDER,
    )
    class_score_maps: bool = option(
        False, "also draw the class-score maps of the two best labels; needs --output_dir", group="output"
    )
    batch_size: int = option(32, "crops at a time", group="devices", lower=1)


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
        "sqrt: take the square root of each value, by which a few large ones weigh less",
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
        """Checks the flags of random splits together.

        Raises:
            UserError: one of them needs another one.
        """
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
        names = self.layer.split(",")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainedOptions(Options):
    """Options of `vgg_keras.pretrained`."""

    source: PathLike = option(
        "",
        "a .keras file or a run's folder, keras.applications' .h5 or .keras, .pth or .safetensors of torchvision or "
        "timm, a KerasHub preset's folder, or keras_applications, which downloads",
        group="input",
        required=True,
        path=True,
        layout=run_record.LAYOUT,
    )
    net: str = option("", "the net; empty: the source's", group="net", choices=("", *NETS), aliases=ALIASES)
    num_classes: int = option(0, "number of classes; 0: the source's", group="net", lower=0)
    input_size: int = option(0, "side of the input in pixels; 0: the source's, or 224", group="net", lower=0)
    seed: int = option(0, "seed of the weights that the source does not have (Glorot)", group="net", lower=0)
    strict: bool = option(False, "fail if a layer is missing, unexpected or of another shape", group="net")
    output: PathLike = option("", "the .keras file to write", group="output", required=True, output=FILE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Options of `vgg_keras.report`."""

    evaluations_dir: PathLike = option(
        "evaluations",
        "the folder in which, at any depth, finished evaluations lie, and files features.json of features --classifier",
        group="input",
        path=True,
        layout=layout.COLLECTED,
    )
    output: PathLike = option(
        "", "the Markdown file; empty: tables.md in --evaluations_dir", group="output", output=FILE
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReproduceOptions(Options):
    """Options of `vgg_keras.reproduce`."""

    suite: str = option(
        "quick",
        "quick: drawn flowers, in minutes; cifar10: the tables in miniature, in a night on 2 cores; imagenet: the "
        "paper's own",
        group="input",
        choices=tuple(SUITES),
    )
    data_dir: PathLike = option(
        "", "a data set written by data_prep, in place of the suite's own", group="data", path=True
    )
    dataset: str = option("", "the same as a TFDS data set by name", group="data")
    test_split: str = option(
        "",
        "the split on which the nets are tested; empty: validation in --data_dir, else the suite's own",
        group="data",
    )
    output_dir: PathLike = option(
        "",
        "the working folder, in which the runs and evaluations lie; one that was stopped goes on there",
        group="output",
        required=True,
        output=FOLDER,
    )

    def data(self) -> dict[str, str]:
        """Returns the flags that name other data than the suite's own: data_dir, dataset and test_split, or none."""
        if not self.data_dir and not self.dataset:
            return {"test_split": self.test_split} if self.test_split else {}
        data_dir = os.path.abspath(self.data_dir) if self.data_dir else ""
        # An empty name takes back that of the flag file.
        return {"data_dir": data_dir, "dataset": self.dataset, "test_split": self.test_split or "validation"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(ProtocolOptions):
    """Options of `vgg_keras.export`."""

    model: PathLike = option(
        "", "the .keras file of a trained model, or a run's folder", group="input", required=True, path=True
    )
    output_dir: PathLike = option(
        "", "the folder of versions; the next free number is made in it", group="output", required=True, output=FOLDER
    )
    format: str = option(SAVED_MODEL, "format to write", group="output", choices=(SAVED_MODEL, ONNX, TFLITE))
    top: int = option(5, "number of class names in an answer", group="output", lower=1)
    max_megapixels: float = option(
        100.0, "refuse larger images before they are decoded, million pixels", group="output", lower=0.001
    )
    precision: str = option(
        "float32", "dtype of the weights and the layers' outputs", group="output", choices=("float32", "bfloat16")
    )
    keep: int = option(0, "number of versions to keep, the newest ones; 0: all", group="output", lower=0)
    check_images: PathLike = option(
        "",
        "photos to compare the two models on: a folder or a glob; empty takes the run's samples",
        group="input",
        path=True,
    )
    data_dir: PathLike = option(
        "",
        "for TFLite with 8-bit integers: the data set whose photos it is calibrated on, as data_prep wrote it",
        group="calibration",
        path=True,
    )
    dataset: str = option("", "the same as a TFDS data set by name, such as tf_flowers", group="calibration")
    split: str = option("train", "the split that it is calibrated on", group="calibration")
    calibration_images: int = option(100, "number of photos that it is calibrated on", group="calibration", lower=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServeCheckOptions(Options):
    """Options of `vgg_keras.serve_check`."""

    model: PathLike = option(
        "", "the folder of versions; its newest one is checked", group="input", required=True, path=True
    )
    url: tuple[str, ...] = option(
        (),
        "URL of a server: http://HOST:8501 (REST) or grpc://HOST:8500, again for both; none: a local process that has "
        "TensorFlow alone",
        group="input",
    )
    name: str = option("", "the model's name on the server; empty: the folder's", group="input")
    photos: tuple[PathLike, ...] = option(
        (),
        "a file, folder or glob of JPEG, PNG, GIF or BMP photos, again for more; none: those of the warm-up file",
        group="input",
        path=True,
    )
    source: PathLike = option(
        "",
        "the .keras file that --photos are compared with; empty: the one it was exported from",
        group="input",
        path=True,
    )
    concurrency: int = option(4, "number of requests at the same time", group="load", lower=1)
    batch_size: int = option(8, "number of photos in a request of several", group="load", lower=2)
