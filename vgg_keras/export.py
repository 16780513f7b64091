"""Exports a trained model as a fully convolutional SavedModel for photos of any size, ONNX, or TensorFlow Lite.

python -m vgg_keras.export --model=runs/vgg16/best.keras --output_dir=saved_models/vgg16
python -m vgg_keras.export --model=runs/vgg16/best.keras --format=onnx --output_dir=saved_models/vgg16_onnx
"""

import dataclasses
import functools
from pathlib import Path

from vgg_keras.data import datasets
from vgg_keras.inference.protocol import ProtocolOptions
from vgg_keras.models import run_record
from vgg_keras.serving import agreement, exporter, model_card, runtime_export, versions
from vgg_keras.serving.agreement import TOLERANCES
from vgg_keras.serving.check_photos import read_check_photos
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.serving.onnx_export import ONNX_FILE
from vgg_keras.serving.tflite_export import TFLITE_FILE, read_calibration_crops
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option

SAVED_MODEL, ONNX, TFLITE = "saved_model", "onnx", "tflite"


@dataclasses.dataclass(frozen=True)
class ExportOptions(ProtocolOptions):
    """Flags of `vgg_keras.export`."""

    model: str = option("", "the .keras file of a trained model, or a run's folder", required=True)
    output_dir: str = option("", "the folder of versions; the next free number is made in it", required=True)
    format: str = option(SAVED_MODEL, "format to write", choices=(SAVED_MODEL, ONNX, TFLITE))
    top: int = option(5, "number of class names in an answer", lower=1)
    max_megapixels: float = option(100.0, "refuse larger images before they are decoded, million pixels", lower=0.001)
    precision: str = option("float32", "dtype of the weights and the layers' outputs", choices=tuple(TOLERANCES))
    keep: int = option(0, "number of versions to keep, the newest ones; 0: all", lower=0)
    check_images: str = option(
        "", "photos to compare the two models on: a folder or a glob; empty takes the run's samples"
    )
    data_dir: str = option(
        "", "for TFLite with 8-bit integers: the data set whose photos it is calibrated on, as data_prep wrote it"
    )
    dataset: str = option("", "the same as a TFDS data set by name, such as tf_flowers")
    split: str = option("train", "the split that it is calibrated on")
    calibration_images: int = option(100, "number of photos that it is calibrated on", lower=1)

    def config(self) -> ExportConfig:
        """Returns the export settings that the flags describe."""
        return ExportConfig(self.protocol(), self.precision, self.top, self.max_megapixels)


def export_saved_model(options: ExportOptions, model: Path) -> Path:
    """Exports a SavedModel, and prints its agreement with the trained model.

    Args:
        options: flags of the verb.
        model: the `.keras` file.

    Returns:
        The folder of the exported version.

    Raises:
        UserError: the model or the photos cannot be used, or the exported model disagrees with the trained one.
    """
    output_dir = Path(options.output_dir)
    photos = read_check_photos(model, options.check_images)
    exported = exporter.export(model, output_dir, photos, options.config())
    print(f"the exported model against the trained one: {exporter.read_record(exported)['agreement_text']}")
    return exported


def export_runtime(options: ExportOptions, model: Path) -> Path:
    """Exports for ONNX Runtime or TensorFlow Lite, and prints a comparison with the SavedModel.

    Args:
        options: flags of the verb.
        model: the `.keras` file.

    Returns:
        The folder of the exported version.

    Raises:
        UserError: --precision is not float32; the model, the photos or the calibration data cannot be used; or the
            exported model disagrees with the SavedModel.
    """
    if options.precision != "float32":
        raise UserError(f"--precision={options.precision} is for --format={SAVED_MODEL}")
    read_crops = None
    if options.format == TFLITE and not (options.data_dir or options.dataset):
        print("no --data_dir or --dataset to calibrate on: float only")
    elif options.format == TFLITE:
        data = datasets.open_data(options.data_dir, options.dataset)
        read_crops = functools.partial(read_calibration_crops, data, options.split, options.calibration_images)
    photos = read_check_photos(model, options.check_images)
    main_file = ONNX_FILE if options.format == ONNX else TFLITE_FILE
    exported, comparisons = runtime_export.export(
        model, Path(options.output_dir), photos, options.config(), main_file, read_crops
    )
    cli.print_table(agreement.comparison_table(comparisons))
    return exported


def main(options: ExportOptions) -> None:
    """Exports the model, removes old versions, and prints what to do next."""
    model = run_record.find_model_file(Path(options.model))
    exported = (export_saved_model if options.format == SAVED_MODEL else export_runtime)(options, model)
    print(f"exported {model} -> {exported}")
    if options.keep:
        for version in versions.keep_newest(Path(options.output_dir), options.keep):
            print(f"removed version {version}")
    if options.format == SAVED_MODEL:
        print(f"model card:    {exported / exporter.EXTRA / model_card.FILE}")
        print(f"signatures:    saved_model_cli show --all --dir {exported}")
        print(f"try it:        python -m vgg_keras.serve_check --model={options.output_dir}")


if __name__ == "__main__":
    cli.run(main, ExportOptions)
