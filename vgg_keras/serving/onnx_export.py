"""Writes dense evaluation as ONNX."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.inference.posteriors import average_score_map, temper
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.serving.agreement import ConvertedModel
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.optional_imports import import_extra

ONNX_FILE = "model.onnx"
# The newest opset that tf2onnx 1.17 writes.
_OPSET = 18


def to_onnx(net: keras.Model, protocol: TestProtocol, folder: Path) -> list[ConvertedModel]:
    """Writes dense evaluation as ONNX: images (B, H, W, 3) float32, RGB 0..255 -> class_score_map and posterior.

    Args:
        net: a fully convolutional net, result of `fully_convolutional.convert`.
        protocol: what is averaged over the class-score map, and the temperature.
        folder: folder into which `model.onnx` is written.

    Returns:
        The written model, loaded into ONNX Runtime, as the only item.

    Raises:
        UserError: onnx, onnxruntime or tf2onnx is not installed, or Keras is older than 3.
    """
    if not keras_compat.KERAS_3:
        raise UserError("--format=onnx needs Keras 3; the model's .keras file loads there as it is")
    onnx, _, tf2onnx = import_extra(["onnx", "onnxruntime", "tf2onnx"], "onnx", "--format=onnx")
    variables = [*net.trainable_variables, *net.non_trainable_variables]
    num_trainable = len(net.trainable_variables)

    def dense(images: tf.Tensor, *weights: tf.Tensor) -> dict[str, tf.Tensor]:
        score_map, _ = net.stateless_call(weights[:num_trainable], weights[num_trainable:], images, training=False)
        averaged = average_score_map(score_map, protocol.average)
        return {"class_score_map": score_map, "posterior": temper(averaged, protocol.temperature)}

    # The weights are arguments during the conversion and become initializers afterwards: tf2onnx copies constants so
    # often that net D would take more than 16 GB.
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
    return [load_onnx(path)]


def load_onnx(path: Path) -> ConvertedModel:
    """Loads a file that `to_onnx` wrote into ONNX Runtime.

    Raises:
        UserError: onnxruntime is not installed, or the file is damaged.
    """
    (onnxruntime,) = import_extra(["onnxruntime"], "onnx", str(path))
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises errors of many kinds
        raise UserError(
            f"{path} cannot be loaded into ONNX Runtime: {reason(error)}; export the model again"
        ) from error

    def posteriors(images: np.ndarray) -> np.ndarray:
        return session.run(["posterior"], {"images": images})[0]

    return ConvertedModel("ONNX", path.stat().st_size, posteriors, whole=True, file=path.name)
