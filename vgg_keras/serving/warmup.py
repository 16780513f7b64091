"""Writes and reads the warm-up file, whose requests TensorFlow Serving runs before it answers clients.

Records are `PredictionLog`s in a TFRecord file, `assets.extra/tf_serving_warmup_requests`. Ours also hold the source
model's answers, so that an exported model can be checked without its source.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from vgg_keras.serving.servable import BOXES, CLASSIFY, DENSE_MAP, FEATURES
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.side_files import damaged

FILE = "assets.extra/tf_serving_warmup_requests"
_WAY_OUT = "export the model again"
# The argument of each signature, and the outputs of the source model that are kept with a request.
_KNOWN = {
    CLASSIFY: ({"image_bytes"}, {"posterior"}),
    DENSE_MAP: ({"images"}, {"posterior"}),
    FEATURES: ({"image_bytes"}, set()),
    BOXES: ({"image_bytes"}, {"boxes"}),
}


@dataclasses.dataclass(frozen=True)
class WarmUpRequest:
    """A request to a signature, and the source model's answer.

    Attributes:
        signature: name of the signature.
        inputs: arguments of the signature by name.
        expected: outputs of the source model by name; some or all may be missing.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def is_known(self) -> bool:
        """Returns whether it is of a kind that `vgg_keras.export` writes."""
        return _KNOWN.get(self.signature) == (set(self.inputs), set(self.expected))


def encode_photos(photos: Sequence[bytes]) -> dict[str, np.ndarray]:
    """Returns encoded photos as the arguments of a request: {"image_bytes": (N,) object}."""
    return {"image_bytes": np.array(photos, object)}


def write(version: Path, model_name: str, requests: Iterable[WarmUpRequest]) -> None:
    """Writes requests into the warm-up file of a version.

    Args:
        version: folder of the version.
        model_name: name under which the model is served.
        requests: at most 1,000 requests; with more, the server refuses the model.
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


def read(version: Path, count: int | None = None) -> list[WarmUpRequest]:
    """Reads the requests that `write` wrote.

    Args:
        version: folder of the version.
        count: number of requests that the file should hold; None if it is unknown.

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
    except Exception as error:  # TensorFlow and protobuf raise many kinds of errors
        raise UserError(f"{path} is missing or damaged: {reason(error)}; {_WAY_OUT}") from error
    if not requests:
        raise damaged(path, "it holds no request", _WAY_OUT)
    if count is not None and len(requests) != count:
        raise damaged(path, f"it holds {len(requests)} requests, should hold {count}", _WAY_OUT)
    if any(not request.is_known() for request in requests):
        raise damaged(path, "it holds a request that vgg_keras.export does not write", _WAY_OUT)
    return requests
