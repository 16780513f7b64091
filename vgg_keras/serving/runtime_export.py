"""Exports a trained model for ONNX Runtime and TensorFlow Lite, and checks it against the SavedModel.

VERSION/model.onnx           dense evaluation of decoded images of any size, as the SavedModel's signature `dense`
VERSION/model.tflite         the centre crop, float32
VERSION/model_int8.tflite    the centre crop with 8-bit integers for weights and layers' outputs; takes uint8
VERSION/label_names.txt      class names, one a line
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data.labels import LABEL_NAMES, label_lines
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.predictor import Predictor
from vgg_keras.serving import exporter, versions
from vgg_keras.serving.agreement import ConvertedModel, RuntimeComparison, compare_runtimes
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.serving.onnx_export import ONNX_FILE, to_onnx
from vgg_keras.serving.servable import DENSE_MAP
from vgg_keras.serving.tflite_export import to_tflite
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
            converted = to_onnx(predictor.map_net, config.protocol.average, folder)
        else:
            crops = read_crops(side, model.input_size) if read_crops else None
            converted = to_tflite(model.net, folder, crops)
        comparisons = compare_runtimes(reference, converted, photos, side, model.input_size)
    return versions.published(folder), comparisons


def _reference(predictor: Predictor, config: ExportConfig, labels: Path, scratch: Path) -> ConvertedModel:
    """Writes the SavedModel into a scratch folder and loads it."""
    servable = exporter.make_servable(predictor, config, labels)
    tf.saved_model.save(servable, str(scratch), signatures=servable.signatures())
    dense = tf.saved_model.load(str(scratch)).signatures[DENSE_MAP]
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return ConvertedModel("SavedModel", size, lambda images: dense(images=images)["posterior"].numpy(), whole=True)
