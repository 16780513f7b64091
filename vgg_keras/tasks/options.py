"""Defines the options of the verbs that use trained models; imports no TensorFlow, so that `--help` is quick."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from vgg_keras.evaluation import layout
from vgg_keras.inference.protocol import CENTER_CROP, EXPLANATIONS, LOCALIZERS_METHODS, METHODS, OWN
from vgg_keras.models import run_record
from vgg_keras.models.architectures import ALIASES, CLASSIFICATION, LOCALIZATION, NETS, TASKS
from vgg_keras.tasks.shared_options import DataOptions, ModelsOptions, ProtocolOptions
from vgg_keras.tasks.suites import SUITES
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.hardware import STRATEGIES
from vgg_keras.utils.hosts import is_host
from vgg_keras.utils.options import FILE, FOLDER, Options, PathLike, option
from vgg_keras.utils.service_address import ServiceAddress

SAVED_MODEL, ONNX, TFLITE = "saved_model", "onnx", "tflite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(DataOptions, ProtocolOptions, ModelsOptions):
    """Options of `vgg_keras.evaluate`."""

    takes_cluster: ClassVar[bool] = True
    task: str = option(
        CLASSIFICATION,
        "what is tested: classification, or localization: the boxes of a net that train --task=localization made",
        choices=TASKS,
        group="input",
    )
    classifier: PathLike | Sequence[PathLike] = option(
        (),
        "for --task=localization, not at the centre crop: the .keras file or run of the net that chooses the classes "
        "and, but for squashed photos, scores the boxes; saved posteriors (.npz) choose the classes in its place",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    model: PathLike | Sequence[PathLike] = option(
        (),
        "a .keras file, a run's folder, an export (a folder, .onnx or .tflite), or saved posteriors or boxes (.npz); "
        "repeat the flag for each model to fuse",
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
        "another evaluation of the same images, with whose last result the last one of this is compared, or another "
        "model, such as the one an export was made from, which is then tested in the same way",
        group="output",
        path=True,
        layout=layout.COMPARED,
    )
    batch_size: int = option(
        32, "crops at a time; whole images as many as have the same number of pixels", group="devices", lower=1
    )
    strategy: str = option(
        "auto", "how the work is shared out over devices and machines", group="devices", choices=STRATEGIES
    )
    cpu_devices: int = option(
        1, "number of devices that the CPU is split into, to try --strategy=mirrored", group="devices", lower=1
    )
    worker_timeout: float = option(
        300.0,
        "number of seconds to wait for the other workers at the start, and later for a sign of life of each",
        group="devices",
        lower=1.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task == LOCALIZATION:
            self._require_of_localizers()

    def _require_of_localizers(self) -> None:
        """Refuses flags that a test of localizers would ignore."""
        if self.method not in (OWN, *LOCALIZERS_METHODS):
            methods = f"{', '.join(LOCALIZERS_METHODS[:-1])} or {LOCALIZERS_METHODS[-1]}"
            raise UserError(f"--method={self.method} is not for --task={LOCALIZATION}; it is {methods}")
        if self.method == CENTER_CROP:
            changed = self.changed(("classifier", "average"))
            if changed:
                why = "the class is known, and the localizer alone is shown the centre crop"
                raise UserError(f"--{changed[0]} is not for --method={CENTER_CROP}: {why}; leave it out")
        if self.strategy == "mirrored" or self.cpu_devices > 1:
            raise UserError(f"--task={LOCALIZATION} shows photos one by one, on one device; leave out --strategy")

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
    explain: str = option(
        "",
        "also draw which places of the photo speak for the two best labels, by this method; needs --output_dir",
        group="output",
        choices=("", *EXPLANATIONS),
    )
    batch_size: int = option(32, "crops at a time", group="devices", lower=1)


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

    run: tuple[PathLike, ...] = option(
        (),
        "a run's folder, of which a page in HTML is written in the place of the tables; again for more, which are "
        "compared",
        group="input",
        path=True,
        layout=run_record.LAYOUT,
    )
    evaluations_dir: PathLike = option(
        "evaluations",
        "the folder in which, at any depth, finished evaluations lie, and files features.json of features --classifier",
        group="input",
        path=True,
        layout=layout.COLLECTED,
    )
    output: PathLike = option(
        "",
        "the file to write; empty: tables.md in --evaluations_dir; with --run: report.html in the run, or beside the "
        "first of several",
        group="output",
        output=FILE,
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
        "the working folder, in which the runs and evaluations lie; one that was stopped goes on there; needed unless "
        "--list is given",
        group="output",
        output=FOLDER,
    )
    list: bool = option(
        False, "print the steps, and which are done in --output_dir, and start none; writes nothing", group="run"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.output_dir and not self.list:
            raise UserError("--output_dir is missing: name the working folder, or give --list to see the steps alone")

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
    temperature: str | float = option(
        "",
        "temperature of the posteriors: a number, or the folder of an evaluation of the model in the same way, which "
        "fitted one; above 1 they become less confident; empty: 1",
        group="output",
        path=True,
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

    def __post_init__(self) -> None:
        if isinstance(self.temperature, (int, float)):  # as in Python; of the flag it is a text
            object.__setattr__(self, "temperature", str(self.temperature))
        super().__post_init__()
        calibration = self.changed(("data_dir", "dataset", "split", "calibration_images"))
        if calibration and self.format != TFLITE:
            raise UserError(f"--{calibration[0]} is for --format={TFLITE}, which alone is calibrated; leave it out")


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataServiceOptions(Options):
    """Options of `vgg_keras.data_service`."""

    port: int = option(
        5050, "port of the dispatcher, if this process is it; 0: any free one", group="service", lower=0, upper=65535
    )
    worker_port: int = option(0, "port of the worker; 0: any free one", group="service", lower=0, upper=65535)
    dispatcher: str = option(
        "",
        "address of the dispatcher that this process works for, such as grpc://first:5050; empty: it is the "
        "dispatcher, and works too",
        group="service",
    )
    host: str = option(
        "",
        "name or IP address under which the machines that train reach this one; empty: its name",
        group="service",
    )
    timeout: float = option(
        300.0, "number of seconds to wait for --dispatcher at the start", group="service", lower=1.0
    )

    def dispatcher_address(self) -> ServiceAddress | None:
        """Returns the address of --dispatcher, or None if this process is the dispatcher.

        Raises:
            UserError: the flag is not an address, or --host is not the name of a machine.
        """
        if self.host and not is_host(self.host):
            raise UserError(f"--host={self.host} is neither the name of a machine nor an IP address")
        return ServiceAddress.parse("dispatcher", self.dispatcher) if self.dispatcher else None
