"""Writes a model as TensorFlow Lite, in float32, float16 and 8-bit integers."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.shards import broken_records
from vgg_keras.models import class_scores
from vgg_keras.serving.agreement import ConvertedModel
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.optional_imports import import_extra

TFLITE_FILE, FLOAT16_FILE, INT8_FILE = "model.tflite", "model_float16.tflite", "model_int8.tflite"
# What each file is called in tables.
TFLITE_FORMS = {TFLITE_FILE: "TFLite float", FLOAT16_FILE: "TFLite float16", INT8_FILE: "TFLite int8"}


def to_tflite(
    source: keras.Model, temperature: float, folder: Path, calibration: Iterable[np.ndarray] | None
) -> list[ConvertedModel]:
    """Writes a model as TensorFlow Lite: in float32, with weights in float16, and with calibration in 8-bit integers.

    Args:
        source: the model, from square crops (1, S, S, 3) to posteriors.
        temperature: temperature of the posteriors, see `class_scores.tempered`.
        folder: folder into which the files of TFLITE_FORMS are written.
        calibration: crops (1, S, S, 3) float32, RGB 0..255, on which the ranges of the layers' outputs are measured;
            None: no 8-bit integers.

    Returns:
        The written models, loaded into TensorFlow Lite's interpreter.

    Raises:
        UserError: ai-edge-litert is not installed, or the model has no class scores to divide by the temperature.
    """
    source = class_scores.tempered(source, temperature)
    signature = tf.TensorSpec((1, *source.input_shape[1:]), tf.float32, name="images")
    module = tf.Module()
    module.function = tf.function(lambda images: {"posterior": source(images, training=False)}, [signature])
    # As in `servable`, the variables of a Keras 3 model have to be listed for TensorFlow.
    module.variables_of_net = [keras_compat.tf_variable(variable) for variable in source.variables]

    def converter() -> tf.lite.TFLiteConverter:
        return tf.lite.TFLiteConverter.from_concrete_functions([module.function.get_concrete_function()], module)

    halves = converter()
    halves.optimizations = [tf.lite.Optimize.DEFAULT]
    halves.target_spec.supported_types = [tf.float16]
    converted = {TFLITE_FILE: converter().convert(), FLOAT16_FILE: halves.convert()}
    if calibration is not None:
        integers = converter()
        integers.optimizations = [tf.lite.Optimize.DEFAULT]
        integers.representative_dataset = lambda: ([crop] for crop in calibration)
        integers.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        integers.inference_input_type = tf.uint8
        converted[INT8_FILE] = integers.convert()
    for name, content in converted.items():
        (folder / name).write_bytes(content)
    return [load_tflite(folder / name, "--format=tflite") for name in converted]


def load_tflite(path: Path, feature: str) -> ConvertedModel:
    """Loads a file that `to_tflite` wrote into TensorFlow Lite's interpreter.

    Args:
        path: the file; it has its name of TFLITE_FORMS.
        feature: what needs the interpreter, for the message if it is not installed.

    Raises:
        UserError: ai-edge-litert is not installed, or the file is damaged.
    """
    (interpreters,) = import_extra(["ai_edge_litert.interpreter"], "tflite", feature)
    try:
        interpreter = interpreters.Interpreter(str(path), num_threads=cpu_count())
    except ValueError as error:
        raise UserError(f"{path} cannot be loaded into TensorFlow Lite: {reason(error)}; export it again") from error
    run = interpreter.get_signature_runner()
    (takes,) = run.get_input_details().values()
    (gives,) = run.get_output_details().values()
    scale, zero = gives["quantization"]

    def posteriors(images: np.ndarray) -> np.ndarray:
        if takes["dtype"] == np.uint8:
            images = transforms.to_uint8(images).numpy()
        (outputs,) = run(images=images).values()
        return (outputs.astype(np.float32) - zero) * scale if scale else outputs

    exact = path.name == TFLITE_FILE
    return ConvertedModel(
        TFLITE_FORMS[path.name], path.stat().st_size, posteriors, whole=False, exact=exact, file=path.name
    )


def read_calibration_crops(
    data: ImageData, split: str, count: int, smallest_side: int, crop_size: int
) -> list[np.ndarray]:
    """Reads centre crops of a split on which the ranges of the layers' outputs are measured.

    Args:
        data: the data set.
        split: name of the split.
        count: number of photos to read at most, from the first on.
        smallest_side: test scale Q in pixels.
        crop_size: side of the crops in pixels.

    Returns:
        (1, S, S, 3) float32, RGB 0..255, for each photo.

    Raises:
        UserError: the split is missing or empty, or a record cannot be read.
    """
    count = min(count, data.num_images(split))
    crops = data.encoded(split).map(
        lambda example: transforms.decode_center(example["image_bytes"], smallest_side, crop_size)[tf.newaxis]
    )
    with broken_records(data):
        return list(crops.take(count).as_numpy_iterator())
