"""The file of requests that TensorFlow Serving runs through a model before it answers anybody.

Records are `PredictionLog`s in a TFRecord file, `assets.extra/tf_serving_warmup_requests`. Ours also hold the answers,
the source model's own, so that whoever has the exported model alone can tell whether it still says the same.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from vgg_keras.utils.cli import UserError

FILE = "assets.extra/tf_serving_warmup_requests"


@dataclasses.dataclass(frozen=True)
class WarmUpRequest:
    """A request to a signature, and what is known of its answer.

    Attributes:
        signature: the signature's name.
        inputs: its arguments.
        expected: some of its outputs, as the source model has them; may be empty.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


def encode_photos(photos: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Returns the arguments of a request with encoded photos."""
    return {"image_bytes": np.array(photos, object)}


def write(version: Path, model_name: str, requests: Iterable[WarmUpRequest]) -> None:
    """Writes the requests into the folder of a version.

    Args:
        version: the folder.
        model_name: under which the model is served.
        requests: at most 1,000, or the server refuses the model.
    """
    path = version / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            predict = log.predict_log
            predict.request.model_spec.name = model_name
            predict.request.model_spec.signature_name = request.signature
            for name, value in request.inputs.items():
                predict.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            for name, value in request.expected.items():
                predict.response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString())


def read(version: Path) -> list[WarmUpRequest]:
    """Reads what `write` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = version / FILE
    requests = []
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            predict = prediction_log_pb2.PredictionLog.FromString(record).predict_log
            inputs, expected = (
                {name: tf.make_ndarray(value) for name, value in tensors.items()}
                for tensors in (predict.request.inputs, predict.response.outputs)
            )
            requests.append(WarmUpRequest(predict.request.model_spec.signature_name, inputs, expected))
    except Exception as error:  # whatever TensorFlow and protobuf raise
        raise UserError(f"{path} is missing or damaged: {error}") from error
    return requests
