"""Sends requests to a served model by TensorFlow Serving's protocols, gRPC and REST; starts a local server."""

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from vgg_keras.utils.errors import UserError
from vgg_keras.utils.paths import without_wildcards

_SERVER = Path(__file__).with_name("local_server.py")
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_TIMEOUT_SECONDS = 300.0
# The HTTP statuses by which TensorFlow Serving's REST API expresses gRPC's status codes.
_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


class RequestRefused(Exception):
    """A request that the server answered with an error, or not at all.

    Args:
        code: gRPC's name of the error, such as "INVALID_ARGUMENT".
        message: the server's error message.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Client(Protocol):
    """A client of a served model."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature of the served model.

        Args:
            signature: name of the signature.
            inputs: arguments by name; encoded images are an array of dtype object that holds bytes.

        Returns:
            The outputs by name.

        Raises:
            RequestRefused: the server answers with an error, or not at all.
        """


class GrpcClient:
    """A client that uses gRPC.

    Args:
        address: address of the server, "host:port".
        model_name: name under which the model is served.
    """

    def __init__(self, address: str, model_name: str):
        self.address, self._model_name = address, model_name
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address, _ANY_SIZE))

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature of the served model; see `Client.predict`."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        try:
            response = self._stub.Predict(request, _TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise RequestRefused(error.code().name, error.details()) from error
        return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


class RestClient:
    """A client that uses REST, in the columnar format.

    Args:
        url: URL of the server, "http://host:port".
        model_name: name under which the model is served.
    """

    def __init__(self, url: str, model_name: str):
        self._url = f"{url.rstrip('/')}/v1/models/{model_name}:predict"

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature of the served model; see `Client.predict`."""
        columns = {name: _as_json(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                outputs = json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, TypeError, KeyError):
                text = json.loads(text)["error"]
            raise RequestRefused(_CODES.get(error.code, f"HTTP {error.code}"), text) from error
        except (OSError, ValueError, KeyError) as error:
            raise RequestRefused("UNAVAILABLE", f"{self._url}: {error}") from error
        # For a signature with one output, REST gives the value without a name. In our models the only such output has
        # the name of its signature.
        named = outputs if isinstance(outputs, dict) else {signature: outputs}
        return {name: np.array(value) for name, value in named.items()}


def _as_json(value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    return [{"b64": base64.b64encode(item).decode()} for item in value.tolist()]


def connect(url: str, model_name: str) -> Client:
    """Returns a client for the server at a URL.

    Args:
        url: "http://host:8501" for REST, or "grpc://host:8500" for gRPC.
        model_name: name under which the model is served.

    Raises:
        UserError: the URL has another scheme, or no host.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        return GrpcClient(parts.netloc, model_name)
    if parts.scheme in ("http", "https") and parts.netloc:
        return RestClient(url, model_name)
    raise UserError(f"--url={url} must be http://HOST:PORT for REST (8501), or grpc://HOST:PORT for gRPC (8500)")


@contextlib.contextmanager
def local_server(version: Path, model_name: str) -> Iterator[Client]:
    """Serves a version in a process that has TensorFlow alone, and yields a client for it.

    Args:
        version: folder of the version.
        model_name: name that the client sends as the model's.

    Raises:
        UserError: the model cannot be loaded.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log, without_wildcards(version) as plain:
        command = [sys.executable, "-I", str(_SERVER), str(plain)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            ready = process.stdout.readline() if process.stdout else ""
            if not ready.startswith("port "):
                log.seek(0)
                lines = log.read().strip().splitlines() or ["the server process ended without a message"]
                raise UserError(f"{version} cannot be served: {lines[-1]}")
            yield GrpcClient(f"127.0.0.1:{int(ready.split()[1])}", model_name)
        finally:
            process.kill()
            process.communicate()
