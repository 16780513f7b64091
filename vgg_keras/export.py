"""Exports a trained model: a fully convolutional SavedModel for photos of any size, ONNX, or TensorFlow Lite.

python -m vgg_keras.export --model=runs/vgg16/best.keras --output_dir=saved_models/vgg16
python -m vgg_keras.export --model=runs/vgg16/best.keras --format=onnx --output_dir=saved_models/vgg16_onnx
"""

import dataclasses
import functools
from pathlib import Path

from vgg_keras.data import datasets
from vgg_keras.evaluation import published
from vgg_keras.evaluation.published import DENSE
from vgg_keras.inference.loading import Protocol
from vgg_keras.inference.posteriors import AVERAGES, SCORES
from vgg_keras.serving import exporter, runtime_export, versions
from vgg_keras.serving.agreement import TOLERANCES
from vgg_keras.serving.exporter import Plan
from vgg_keras.training import run_dir
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option

SAVED_MODEL, ONNX, TFLITE = "saved_model", "onnx", "tflite"


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Flags of `vgg_keras.export`."""

    model: str = option("", "the .keras file of a trained model, or a run's folder", required=True)
    output_dir: str = option("", "the folder of versions; the next free number is made in it", required=True)
    format: str = option(SAVED_MODEL, "what is written", choices=(SAVED_MODEL, ONNX, TFLITE))
    method: str = option(
        DENSE, "how the served model looks at photos", choices=(DENSE, published.MULTI_CROP, published.CENTER_CROP)
    )
    test_scales: str = option(
        "", "Q,...: smallest sides; single or multi: the paper's for the run's training scale; empty: single"
    )
    flip: bool | None = option(None, "average each view with its mirror image; None: all but the centre crop")
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES)
    top: int = option(5, "how many class names an answer has", lower=1)
    max_megapixels: float = option(100.0, "refuse larger images before they are decoded, million pixels", lower=0.001)
    precision: str = option("float32", "of the weights and the layers' outputs", choices=tuple(TOLERANCES))
    keep: int = option(0, "how many versions are kept, the newest; 0: all", lower=0)
    check_images: str = option(
        "", "photos to compare the two models on: a folder or a glob; empty takes the run's samples"
    )

    data_dir: str = option(
        "",
        "for TFLite with whole numbers of 8 bits: the data set whose photos it is calibrated on, as data_prep wrote it",
    )
    dataset: str = option("", "the same as a TFDS data set by name, such as tf_flowers")
    split: str = option("train", "the split that it is calibrated on")
    calibration_images: int = option(100, "how many photos it is calibrated on", lower=1)

    def plan(self) -> Plan:
        """Returns how the model is exported."""
        protocol = Protocol(self.method, self.test_scales, self.flip, self.average)
        return Plan(protocol, self.precision, self.top, self.max_megapixels)


def export(flags: ExportOptions, model: Path) -> Path:
    """Writes, checks and names one version in the format that the flags ask for."""
    arguments = model, Path(flags.output_dir), exporter.sample_photos(model, flags.check_images), flags.plan()
    if flags.format == SAVED_MODEL:
        return exporter.export(*arguments)
    if flags.precision != "float32":
        raise UserError(f"--precision={flags.precision} is for --format={SAVED_MODEL}")
    if flags.format == ONNX:
        return runtime_export.export(*arguments, runtime_export.ONNX_FILE)
    crops = None
    if flags.data_dir or flags.dataset:
        data = datasets.open_data(flags.data_dir, flags.dataset)
        crops = functools.partial(runtime_export.calibration_crops, data, flags.split, flags.calibration_images)
    else:
        print("no --data_dir or --dataset to calibrate on: float only")
    return runtime_export.export(*arguments, runtime_export.TFLITE_FILE, crops)


def main(flags: ExportOptions) -> None:
    """Exports, and says what to look at."""
    model = run_dir.model_file(Path(flags.model))
    exported = export(flags, model)
    print(f"exported {model} -> {exported}")
    if flags.keep:
        for version in versions.keep_newest(Path(flags.output_dir), flags.keep):
            print(f"removed version {version}")
    if flags.format == SAVED_MODEL:
        print(f"read about it: {exported / exporter.EXTRA / 'model_card.md'}")
        print(f"look at it:    saved_model_cli show --all --dir {exported}")
        print(f"try it:        python -m vgg_keras.serve_check --model={flags.output_dir}")


if __name__ == "__main__":
    cli.run(main, ExportOptions)
