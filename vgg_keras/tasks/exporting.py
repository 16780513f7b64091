"""Exports a trained model as a fully convolutional SavedModel for photos of any size, ONNX, or TensorFlow Lite."""

import dataclasses
import functools
from pathlib import Path

from vgg_keras.data import datasets
from vgg_keras.inference.protocol import CENTER_CROP
from vgg_keras.models import metadata, run_record, saving
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import (
    agreement,
    export_record,
    exporter,
    found_export,
    localizer_exporter,
    questions,
    runtime_export,
    versions,
)
from vgg_keras.serving.check_photos import read_check_photos
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.serving.onnx_export import ONNX_FILE
from vgg_keras.serving.tflite_export import TFLITE_FILE, read_calibration_crops
from vgg_keras.tasks import temperature
from vgg_keras.tasks.options import ONNX, SAVED_MODEL, TFLITE, ExportOptions
from vgg_keras.tasks.results import ExportResult
from vgg_keras.tasks.shared_options import require_defaults
from vgg_keras.utils import console, shell, stopping
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.errors import UserError

# File that every version of a format holds.
_MAIN_FILES = {SAVED_MODEL: exporter.MAIN_FILE, ONNX: ONNX_FILE, TFLITE: TFLITE_FILE}
# Flags that have no meaning for a localizer.
_CLASSIFIER_FLAGS = ("format", "average", "temperature", "top")


def export_saved_model(options: ExportOptions, model: Path) -> ExportResult:
    """Exports a SavedModel.

    Args:
        options: options of the verb.
        model: the `.keras` file.

    Raises:
        UserError: the model or the photos cannot be used, or the exported model disagrees with the trained one.
    """
    photos = read_check_photos(model, options.check_images)
    write = localizer_exporter.export if metadata.read(model, None).box_regression else exporter.export
    exported = write(model, Path(options.output_dir), photos, _config(options, model))
    record = export_record.read(exported)
    found = questions.of_record(record).agreement(**record["agreement"])
    title = f"the exported model against the trained one: {found}"
    return ExportResult(exported, model, ShownTable(title, found.COLUMNS, [found.row()]))


def export_runtime(options: ExportOptions, model: Path) -> ExportResult:
    """Exports for ONNX Runtime or TensorFlow Lite.

    Args:
        options: options of the verb.
        model: the `.keras` file.

    Raises:
        UserError: --precision is not float32; the model, the photos or the calibration data cannot be used; or the
            exported model disagrees with the SavedModel.
    """
    if options.precision != "float32":
        raise UserError(f"--precision={options.precision} is for --format={SAVED_MODEL}")
    read_crops = None
    if options.format == TFLITE and not (options.data_dir or options.dataset):
        console.say("no --data_dir or --dataset to calibrate on: float only")
    elif options.format == TFLITE:
        data = datasets.open_data(options.data_dir, options.dataset)
        read_crops = functools.partial(read_calibration_crops, data, options.split, options.calibration_images)
    photos = read_check_photos(model, options.check_images)
    exported, comparisons = runtime_export.export(
        model, Path(options.output_dir), photos, _config(options, model), _MAIN_FILES[options.format], read_crops
    )
    return ExportResult(exported, model, agreement.comparison_table(comparisons))


def _config(options: ExportOptions, model: Path) -> ExportConfig:
    """Returns the settings of the export, with the temperature that --temperature asks for."""
    config = ExportConfig(options.protocol(), options.precision, options.top, options.max_megapixels)
    if not options.temperature:
        return config
    protocol = config.of_model(model).protocol
    served = options.format == SAVED_MODEL
    shown = protocol if served else runtime_export.own_protocol(protocol, _MAIN_FILES[options.format])
    found, fitted_on = temperature.choose(str(options.temperature), model, shown, single_scale=not served)
    protocol = dataclasses.replace(protocol, temperature=found)
    return dataclasses.replace(config, protocol=protocol, temperature_fitted_on=fitted_on)


def export_model(options: ExportOptions) -> ExportResult:
    """Exports a model as the next version below a folder, checks it against its source, and removes old versions.

    Raises:
        UserError: the model, the photos or the calibration data cannot be used, or the exported model disagrees.
    """
    versions.require_format(Path(options.output_dir), _MAIN_FILES[options.format])
    model = run_record.find_model_file(Path(options.model))
    saving.require_model_file(model)
    boxes = bool(metadata.read(model, None).box_regression)
    if boxes:
        method = () if options.method in (CENTER_CROP, SQUASH) else ("method",)
        require_defaults(options, (*_CLASSIFIER_FLAGS, *method))
    with stopping.advising("nothing was exported; start the same command again"):
        result = (export_saved_model if options.format == SAVED_MODEL else export_runtime)(options, model)
    removed = versions.keep_newest(Path(options.output_dir), options.keep) if options.keep else ()
    judging = "" if boxes else _judging(result.folder, model)
    return dataclasses.replace(result, removed=tuple(removed), judging=judging)


def _judging(version: Path, model: Path) -> str:
    """Returns the command that measures the error of an export; of several files, that of the last.

    Args:
        version: folder of the exported version.
        model: the model that was exported.
    """
    last = [version / name for name in found_export.FILE_FORMS if (version / name).exists()][-1:]
    has_record = (model.parent / run_record.RECORD).exists()
    trained_on = run_record.read_record(model.parent)["flags"].get("data_dir") if has_record else None
    drawn = model.parent / "data"
    return shell.command(
        "vgg_keras.evaluate",
        model=(last or [version])[0],
        data_dir=trained_on or (drawn if drawn.is_dir() else "DATA"),
        output_dir=Path("evaluations") / "_".join([version.parent.name, *(path.stem for path in last)]),
        compare=model,
    )
