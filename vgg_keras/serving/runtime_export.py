"""A trained model for runtimes other than TensorFlow's: ONNX and TensorFlow Lite, checked against the SavedModel.

VERSION/model.onnx           dense evaluation of decoded images of any size, as the SavedModel's signature `dense`
VERSION/model.tflite         the centre crop, float32
VERSION/model_int8.tflite    the same with whole numbers of 8 bits for weights and layers' outputs; takes uint8
VERSION/label_names.txt      one class a line
"""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.inference import loading, posteriors
from vgg_keras.inference.predictor import Predictor
from vgg_keras.serving import exporter, runtime_comparison, versions
from vgg_keras.serving.exporter import Plan
from vgg_keras.serving.runtime_comparison import Converted
from vgg_keras.serving.servable import DENSE_MAP
from vgg_keras.training import run_dir
from vgg_keras.utils import cli, keras_compat
from vgg_keras.utils.cli import UserError

ONNX_FILE, TFLITE_FILE, INT8_FILE = "model.onnx", "model.tflite", "model_int8.tflite"
# The newest that tf2onnx 1.17 writes.
_OPSET = 18


def _import(names: Sequence[str], extra: str) -> list:
    """Imports packages that only some need.

    Raises:
        UserError: one is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise UserError(f"--format={extra} needs more packages ({error}): pip install 'vgg_keras[{extra}]'") from error


def to_onnx(net: keras.Model, average: str, folder: Path) -> list[Converted]:
    """Writes dense evaluation as ONNX: images (B, H, W, 3) float32, RGB 0..255 -> class_score_map and posterior.

    Args:
        net: of `fully_convolutional.convert`.
        average: of the class-score map.
        folder: where to.

    Raises:
        UserError: tf2onnx or onnxruntime are not installed, or Keras is older than 3.
    """
    if not keras_compat.KERAS_3:
        raise UserError("--format=onnx needs Keras 3; the model's .keras file loads there as it is")
    onnx, onnxruntime, tf2onnx = _import(["onnx", "onnxruntime", "tf2onnx"], "onnx")
    variables = [*net.trainable_variables, *net.non_trainable_variables]
    num_trainable = len(net.trainable_variables)

    def dense(images: tf.Tensor, *weights: tf.Tensor) -> dict[str, tf.Tensor]:
        score_map, _ = net.stateless_call(weights[:num_trainable], weights[num_trainable:], images, training=False)
        return {"class_score_map": score_map, "posterior": posteriors.of_map(score_map, average)}

    # The weights go in as arguments and are filled in afterwards: of constants tf2onnx makes so many copies that net D
    # would take more than 16 GB.
    weights = {f"weights_{index}": variable for index, variable in enumerate(variables)}
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32, name="images")]
    signature += [tf.TensorSpec(variable.shape, variable.dtype, name=name) for name, variable in weights.items()]
    model, _ = tf2onnx.convert.from_function(tf.function(dense, signature), input_signature=signature, opset=_OPSET)
    images = [argument for argument in model.graph.input if argument.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(images)
    filled = [onnx.numpy_helper.from_array(variable.numpy(), name) for name, variable in weights.items()]
    model.graph.initializer.extend(filled)
    path = folder / ONNX_FILE
    onnx.save(model, str(path))

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [
        Converted("ONNX", path.stat().st_size, lambda images: session.run(["posterior"], {"images": images})[0], True)
    ]


def to_tflite(source: keras.Model, folder: Path, calibration: Iterable[np.ndarray] | None) -> list[Converted]:
    """Writes a model as TensorFlow Lite: float, and with calibration also int8.

    Args:
        source: square crops -> posteriors.
        folder: where to.
        calibration: crops (1, S, S, 3) float32 that the ranges of the layers' outputs are measured on; None: no int8.

    Raises:
        UserError: ai-edge-litert is not installed.
    """
    signature = tf.TensorSpec((1, *source.input_shape[1:]), tf.float32, name="images")
    module = tf.Module()
    module.function = tf.function(lambda images: {"posterior": source(images, training=False)}, [signature])
    # As in `served_model`: TensorFlow has to be told of a Keras 3 model's variables.
    module.variables_of_net = [keras_compat.tf_variable(variable) for variable in source.variables]

    def converter() -> tf.lite.TFLiteConverter:
        return tf.lite.TFLiteConverter.from_concrete_functions([module.function.get_concrete_function()], module)

    converted = [_tflite("TFLite float", folder / TFLITE_FILE, converter().convert(), exact=True)]
    if calibration is not None:
        whole_numbers = converter()
        whole_numbers.optimizations = [tf.lite.Optimize.DEFAULT]
        whole_numbers.representative_dataset = lambda: ([crop] for crop in calibration)
        whole_numbers.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        whole_numbers.inference_input_type = tf.uint8
        converted.append(_tflite("TFLite int8", folder / INT8_FILE, whole_numbers.convert(), exact=False))
    return converted


def _tflite(name: str, path: Path, content: bytes, exact: bool) -> Converted:
    path.write_bytes(content)
    (interpreters,) = _import(["ai_edge_litert.interpreter"], "tflite")
    interpreter = interpreters.Interpreter(str(path), num_threads=cli.cpu_count())
    run = interpreter.get_signature_runner()
    (takes,) = run.get_input_details().values()
    (gives,) = run.get_output_details().values()
    scale, zero = gives["quantization"]

    def posteriors(images: np.ndarray) -> np.ndarray:
        if takes["dtype"] == np.uint8:
            images = transforms.to_uint8(images).numpy()
        (outputs,) = run(images=images).values()
        return (outputs.astype(np.float32) - zero) * scale if scale else outputs

    return Converted(name, len(content), posteriors, whole=False, exact=exact)


def calibration_crops(data: ImageData, split: str, count: int, smallest_side: int, crop_size: int) -> list[np.ndarray]:
    """Reads centre crops of a split, (1, S, S, 3) float32 each, to measure the ranges of layers' outputs on."""
    count = min(count, data.num_images(split))
    crops = data.encoded(split).map(
        lambda example: transforms.decode_center(example["image_bytes"], smallest_side, crop_size)[tf.newaxis]
    )
    return list(crops.take(count).as_numpy_iterator())


def export(
    model_path: Path,
    output_dir: Path,
    photos: Sequence[bytes],
    plan: Plan,
    main_file: str,
    data: Callable | None = None,
) -> Path:
    """Writes a model for another runtime as the next version below a folder, once it agrees with the SavedModel.

    Args:
        model_path: a `.keras` file.
        output_dir: the folder of versions.
        photos: encoded, what the two are compared on.
        plan: its scales are those at which photos are compared.
        main_file: ONNX_FILE or TFLITE_FILE.
        data: for int8: (smallest side, crop size) -> the crops that it is calibrated on.

    Returns:
        The version's folder.

    Raises:
        UserError: the model cannot be converted, or does not agree.
    """
    predictor = Predictor(loading.inspect(str(model_path), plan.protocol), plan.protocol)
    side = min(predictor.model.test_scales)
    with versions.new_version(output_dir, main_file) as folder, tempfile.TemporaryDirectory() as scratch:
        names = run_dir.read_label_names(model_path.parent, predictor.source.output_shape[-1])
        run_dir.write_text(folder / LABEL_NAMES, "\n".join(names) + "\n")
        reference = _reference(predictor, plan, folder / LABEL_NAMES, Path(scratch))
        if main_file == ONNX_FILE:
            converted = to_onnx(predictor.map_net, plan.protocol.average, folder)
        else:
            crops = data(side, predictor.model.input_size) if data else None
            converted = to_tflite(predictor.source, folder, crops)
        runtime_comparison.compare(reference, converted, photos, side, predictor.model.input_size)
    return versions.newest(output_dir)


def _reference(predictor: Predictor, plan: Plan, labels: Path, scratch: Path) -> Converted:
    served = exporter.served_model(predictor, plan, labels)
    tf.saved_model.save(served, str(scratch), signatures=served.signatures())
    dense = tf.saved_model.load(str(scratch)).signatures[DENSE_MAP]
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return Converted("SavedModel", size, lambda images: dense(images=images)["posterior"].numpy(), True)
