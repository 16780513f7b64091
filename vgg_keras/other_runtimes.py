"""A trained model for runtimes other than TensorFlow's: ONNX and TensorFlow Lite, checked against the SavedModel.

VERSION/model.onnx           dense evaluation of decoded images of any size, as the SavedModel's signature `dense`
VERSION/model.tflite         the centre crop, float32
VERSION/model_int8.tflite    the same with whole numbers of 8 bits for weights and layers' outputs; takes uint8
VERSION/label_names.txt      one class a line
"""

import dataclasses
import importlib
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from rich.table import Table

from data_prep.labels import LABEL_NAMES
from vgg_keras import command_line, run_folder, serving, tested_models, transforms, version_folders
from vgg_keras.agreement import TOLERANCES, Agreement
from vgg_keras.command_line import UserError
from vgg_keras.datasets import ImageData
from vgg_keras.predictor import Predictor
from vgg_keras.served_model import DENSE_MAP, ServedModel
from vgg_keras.serving import Plan

ONNX_FILE, TFLITE_FILE, INT8_FILE = "model.onnx", "model.tflite", "model_int8.tflite"
# The newest that tf2onnx 1.17 writes.
_OPSET = 18
# Whole numbers of 8 bits may turn a close decision; more than these turned mean that something else is wrong.
_INT8_SAME_TOP1 = 0.75

Posteriors = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted model.

    Attributes:
        name: of its format.
        size: of its file or folder, bytes.
        run: images (1, H, W, 3) float32, RGB 0..255 -> posteriors (1, classes).
        whole: whether it takes images of any size, or the centre crop alone.
        exact: whether it must give the same posteriors.
    """

    name: str
    size: int
    run: Posteriors
    whole: bool
    exact: bool = True


def _import(names: Sequence[str], extra: str) -> list:
    """Imports packages that only some need.

    Raises:
        UserError: one is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise UserError(f"--format={extra} needs more packages ({error}): pip install 'vgg_keras[{extra}]'") from error


def to_onnx(served: ServedModel, folder: Path) -> list[Converted]:
    """Writes the dense signature as ONNX.

    Raises:
        UserError: tf2onnx or onnxruntime are not installed.
    """
    onnxruntime, tf2onnx = _import(["onnxruntime", "tf2onnx"], "onnx")
    path = folder / ONNX_FILE
    tf2onnx.convert.from_function(
        served.dense, input_signature=served.dense.input_signature, opset=_OPSET, output_path=str(path)
    )
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
    module.variables_of_net = [variable.value for variable in source.variables]

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
    interpreter = interpreters.Interpreter(str(path), num_threads=command_line.cpu_count())
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
    predictor = Predictor(tested_models.inspect(str(model_path), plan.protocol), plan.protocol)
    side = min(predictor.model.test_scales)
    with version_folders.new_version(output_dir, main_file) as folder, tempfile.TemporaryDirectory() as scratch:
        names = run_folder.read_label_names(model_path.parent, predictor.source.output_shape[-1])
        run_folder.write_text(folder / LABEL_NAMES, "\n".join(names) + "\n")
        reference, served = _reference(predictor, plan, folder / LABEL_NAMES, Path(scratch))
        if main_file == ONNX_FILE:
            converted = to_onnx(served, folder)
        else:
            crops = data(side, predictor.model.input_size) if data else None
            converted = to_tflite(predictor.source, folder, crops)
        compare(reference, converted, photos, side, predictor.model.input_size)
    if plan.keep:
        version_folders.keep_newest(output_dir, plan.keep)
    return version_folders.newest(output_dir)


def _reference(predictor: Predictor, plan: Plan, labels: Path, scratch: Path) -> tuple[Converted, ServedModel]:
    served = serving.served_model(predictor, plan, labels)
    tf.saved_model.save(served, str(scratch), signatures=served.signatures())
    dense = tf.saved_model.load(str(scratch)).signatures[DENSE_MAP]
    size = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return Converted("SavedModel", size, lambda images: dense(images=images)["posterior"].numpy(), True), served


def compare(
    reference: Converted, converted: Sequence[Converted], photos: Sequence[bytes], smallest_side: int, crop_size: int
) -> None:
    """Compares models with the SavedModel on photos, and prints agreement, size and latency.

    Raises:
        UserError: one of them does not agree.
    """
    whole = [transforms.rescale(transforms.decode(photo), smallest_side) for photo in photos]
    center = [transforms.center_crop(image, crop_size)[tf.newaxis].numpy() for image in whole]
    whole = [image[tf.newaxis].numpy() for image in whole]
    table = Table("format", "MB", "photos", "looks at", "ms a photo", "same top-1", "largest diff.")
    for images in (whole, center):
        compared = [model for model in converted if model.whole == (images is whole)]
        if not compared:
            continue
        expected, milliseconds = _timed(reference, images)
        seen = "the whole" if images is whole else f"the centre, {crop_size}x{crop_size}"
        table.add_row(reference.name, f"{reference.size / 1e6:.1f}", str(len(images)), seen, f"{milliseconds:.0f}")
        for model in compared:
            answers, milliseconds = _timed(model, images)
            found = Agreement.of(answers, expected)
            table.add_row(
                model.name, f"{model.size / 1e6:.1f}", str(len(images)), seen, f"{milliseconds:.0f}",
                f"{found.same_top1} of {found.num_photos}", f"{found.largest_difference:.1e}",
            )  # fmt: skip
            _require_agreement(model, found)
    command_line.print_table(table)


def _require_agreement(model: Converted, found: Agreement) -> None:
    # Written so that a NaN fails too.
    if model.exact and not found.largest_difference <= TOLERANCES["float32"]:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported")
    if not found.same_top1 >= _INT8_SAME_TOP1 * found.num_photos:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported. Calibrate on more photos")


def _timed(model: Converted, images: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Returns the posteriors of all images, and the median of the milliseconds an image took."""
    answers, seconds = [], []
    model.run(images[0])  # the first one also pays for what is done once
    for image in images:
        start = time.perf_counter()
        answers.append(model.run(image)[0])
        seconds.append(time.perf_counter() - start)
    return np.stack(answers), 1000 * float(np.median(seconds))
