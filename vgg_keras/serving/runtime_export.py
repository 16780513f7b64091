"""Exports a trained model for ONNX Runtime and TensorFlow Lite, and checks it against the SavedModel.

VERSION/model.onnx           dense evaluation of decoded images of any size, as the SavedModel's signature `dense`
VERSION/model.tflite         the centre crop, float32
VERSION/model_float16.tflite the centre crop with the weights in float16
VERSION/model_int8.tflite    the centre crop with 8-bit integers for weights and layers' outputs; takes uint8
VERSION/label_names.txt      class names, one a line
VERSION/assets.extra/        export.json, class_indices.json and class_names.json, as in a SavedModel
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data.labels import LABEL_NAMES, label_lines
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import export_steps, exporter, versions
from vgg_keras.serving.agreement import ConvertedModel, RuntimeComparison, compare_runtimes
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.serving.onnx_export import ONNX_FILE, to_onnx
from vgg_keras.serving.servable import DENSE_MAP
from vgg_keras.serving.tflite_export import TFLITE_FILE, to_tflite
from vgg_keras.utils import files


def export(
    model_path: Path,
    output_dir: Path,
    photos: Sequence[bytes],
    config: ExportConfig,
    main_file: str,
    read_crops: Callable[[int, int], list[np.ndarray]] | None = None,
) -> tuple[Path, list[RuntimeComparison]]:
    """Writes a model for another runtime as the next version below a folder, once it agrees with the SavedModel.

    Args:
        model_path: a `.keras` file.
        output_dir: folder of the model's versions.
        photos: encoded photos on which the models are compared, at the smallest test scale.
        config: settings of the export.
        main_file: `onnx_export.ONNX_FILE` or `tflite_export.TFLITE_FILE`.
        read_crops: function from (smallest side, crop size), in pixels, to the crops on which int8 is calibrated; None:
            no int8.

    Returns:
        The version's folder, and the comparisons with the SavedModel.

    Raises:
        UserError: the model cannot be converted, or the converted model does not agree with the SavedModel.
    """
    config = config.of_model(model_path)
    model = load_for_inference(model_path, config.protocol)
    predictor = Predictor(model, config.protocol)
    side = min(model.test_scales)
    with versions.new_version(output_dir, main_file) as folder, tempfile.TemporaryDirectory() as scratch:
        names = model.label_names
        files.write_text(folder / LABEL_NAMES, label_lines(names))
        reference = _reference(predictor, config, folder / LABEL_NAMES, Path(scratch))
        if main_file == ONNX_FILE:
            converted = to_onnx(predictor.map_net, config.protocol, folder)
        else:
            crops = read_crops(side, model.input_size) if read_crops else None
            converted = to_tflite(model.net, config.protocol.temperature, folder, crops)
        comparisons = compare_runtimes(reference, converted, photos, side, model.input_size)
        agreements = [one.agreement for one in comparisons if one.agreement]
        record = exporter.describe(predictor, config, agreements[0], output_dir.resolve().name)
        shown = dataclasses.asdict(own_protocol(config.protocol, main_file))
        export_steps.write_names(folder, model.metadata.class_names, names)
        export_steps.write_record(
            folder,
            {**record, "method": shown["method"], "flip": shown["flip"], "test_scales": [side]},
            [LABEL_NAMES, *(one.file for one in converted)],
        )
    return versions.published(folder), comparisons


def own_protocol(protocol: TestProtocol, main_file: str) -> TestProtocol:
    """Returns how a model of another runtime is shown a photo unless its user does more: one view, at one scale.

    Args:
        protocol: the protocol of the export, with the model's own method in the place of OWN.
        main_file: `onnx_export.ONNX_FILE` or `tflite_export.TFLITE_FILE`.
    """
    method = CENTER_CROP if main_file == TFLITE_FILE else DENSE
    return dataclasses.replace(protocol, method=SQUASH if protocol.method == SQUASH else method, flip=False)


def _reference(predictor: Predictor, config: ExportConfig, labels: Path, scratch: Path) -> ConvertedModel:
    """Writes the SavedModel into a scratch folder and loads it."""
    servable = exporter.make_servable(predictor, config, labels)
    tf.saved_model.save(servable, str(scratch), signatures=servable.signatures())
    dense = tf.saved_model.load(str(scratch)).signatures[DENSE_MAP]
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return ConvertedModel("SavedModel", size, lambda images: dense(images=images)["posterior"].numpy(), whole=True)
