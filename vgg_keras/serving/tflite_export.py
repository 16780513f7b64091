"""Writes a model as TensorFlow Lite, in float32 and in 8-bit integers."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.shards import broken_records
from vgg_keras.serving.agreement import ConvertedModel
from vgg_keras.utils import keras_compat
from vgg_keras.utils.hardware import cpu_count
from vgg_keras.utils.optional_imports import import_extra

TFLITE_FILE, INT8_FILE = "model.tflite", "model_int8.tflite"


def to_tflite(source: keras.Model, folder: Path, calibration: Iterable[np.ndarray] | None) -> list[ConvertedModel]:
    """Writes a model as TensorFlow Lite: in float32, and with calibration also in 8-bit integers.

    Args:
        source: the model, from square crops (1, S, S, 3) to posteriors.
        folder: folder into which `model.tflite` and `model_int8.tflite` are written.
        calibration: crops (1, S, S, 3) float32, RGB 0..255, on which the ranges of the layers' outputs are measured;
            None: float32 only.

    Returns:
        The written models, loaded into TensorFlow Lite's interpreter.

    Raises:
        UserError: ai-edge-litert is not installed.
    """
    signature = tf.TensorSpec((1, *source.input_shape[1:]), tf.float32, name="images")
    module = tf.Module()
    module.function = tf.function(lambda images: {"posterior": source(images, training=False)}, [signature])
    # As in `servable`, the variables of a Keras 3 model have to be listed for TensorFlow.
    module.variables_of_net = [keras_compat.tf_variable(variable) for variable in source.variables]

    def converter() -> tf.lite.TFLiteConverter:
        return tf.lite.TFLiteConverter.from_concrete_functions([module.function.get_concrete_function()], module)

    converted = [_write("TFLite float", folder / TFLITE_FILE, converter().convert(), exact=True)]
    if calibration is not None:
        integers = converter()
        integers.optimizations = [tf.lite.Optimize.DEFAULT]
        integers.representative_dataset = lambda: ([crop] for crop in calibration)
        integers.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        integers.inference_input_type = tf.uint8
        converted.append(_write("TFLite int8", folder / INT8_FILE, integers.convert(), exact=False))
    return converted


def _write(name: str, path: Path, content: bytes, exact: bool) -> ConvertedModel:
    """Writes a converted model and loads it into TensorFlow Lite's interpreter."""
    path.write_bytes(content)
    (interpreters,) = import_extra(["ai_edge_litert.interpreter"], "tflite", "--format=tflite")
    interpreter = interpreters.Interpreter(str(path), num_threads=cpu_count())
    run = interpreter.get_signature_runner()
    (takes,) = run.get_input_details().values()
    (gives,) = run.get_output_details().values()
    scale, zero = gives["quantization"]

    def posteriors(images: np.ndarray) -> np.ndarray:
        if takes["dtype"] == np.uint8:
            images = transforms.to_uint8(images).numpy()
        (outputs,) = run(images=images).values()
        return (outputs.astype(np.float32) - zero) * scale if scale else outputs

    return ConvertedModel(name, len(content), posteriors, whole=False, exact=exact)


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
