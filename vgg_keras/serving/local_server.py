"""Serves one exported model on loopback with TensorFlow alone, over TensorFlow Serving's gRPC protocol.

Run as a file, in isolated mode (`python -I local_server.py VERSION_FOLDER`), so that it can import neither this
package nor Keras. Like TensorFlow Serving, it restores the graph into a session of TensorFlow's C++ runtime,
initializes its tables and runs its signatures there, without any Python code of the model. It prints its port when it
is ready.
"""

import concurrent.futures
import sys

# Importing one of these now fails: the server shows that an exported model needs none of them.
sys.modules.update(dict.fromkeys(("keras", "vgg_keras", "data_prep")))  # type: ignore[arg-type]

import grpc  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc  # noqa: E402

_THREADS = 16
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The service whose `Predict` runs the signatures of one model.

    Args:
        folder: path of the version's folder.
    """

    def __init__(self, folder: str):
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], folder)
        self._signatures = loaded.signature_def

    def Predict(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext):
        """Runs a signature; an error inside the graph becomes the status of the call."""
        name = request.model_spec.signature_name or "serving_default"
        if name not in self._signatures:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"there is no signature {name}")
        signature = self._signatures[name]
        if set(request.inputs) != set(signature.inputs):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{name} takes {', '.join(signature.inputs)}")
        feed = {signature.inputs[key].name: tf.make_ndarray(value) for key, value in request.inputs.items()}
        fetches = {key: info.name for key, info in signature.outputs.items()}
        try:
            outputs = self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            context.abort(_STATUS[error.error_code], error.message)
        except ValueError as error:  # an input's shape does not fit the signature
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = predict_pb2.PredictResponse(model_spec=request.model_spec)
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response


def main(folder: str) -> None:
    """Serves a version until the process is ended.

    Args:
        folder: path of the version's folder.
    """
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(_THREADS), options=_ANY_SIZE)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(folder), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"port {port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
