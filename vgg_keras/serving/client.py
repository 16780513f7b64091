"""Requests to a served model by TensorFlow Serving's two protocols, gRPC and REST; and a server of our own to ask."""

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

from vgg_keras.utils.cli import UserError

_SERVER = Path(__file__).with_name("local_server.py")
_ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_TIMEOUT_SECONDS = 300.0
# What TensorFlow Serving's REST makes of the codes of errors.
_CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


class RequestRefused(Exception):
    """The server's answer is an error.

    Args:
        code: gRPC's name of it, such as "INVALID_ARGUMENT".
        message: what the server says.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Client(Protocol):
    """Asks a served model."""

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Raises:
            RequestRefused: the server answers with an error, or not at all.
        """


class GrpcClient:
    """Asks by gRPC.

    Args:
        address: "host:port".
        model_name: under which the model is served.
    """

    def __init__(self, address: str, model_name: str):
        self.address, self._model_name = address, model_name
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address, _ANY_SIZE))

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature, as `Client` has it."""
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
    """Asks by REST, in the columnar format.

    Args:
        url: "http://host:port".
        model_name: under which the model is served.
    """

    def __init__(self, url: str, model_name: str):
        self._url = f"{url.rstrip('/')}/v1/models/{model_name}:predict"

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature, as `Client` has it."""
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
        # A signature with one output answers with its value alone; ours then has the signature's name.
        named = outputs if isinstance(outputs, dict) else {signature: outputs}
        return {name: np.array(value) for name, value in named.items()}


def _as_json(value: np.ndarray) -> list:
    if value.dtype != object:
        return value.tolist()
    return [{"b64": base64.b64encode(item).decode()} for item in value.tolist()]


def connect(url: str, model_name: str) -> Client:
    """Returns a client for "http://host:8501" (REST) or "grpc://host:8500".

    Raises:
        UserError: the URL is neither.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "grpc" and parts.netloc:
        return GrpcClient(parts.netloc, model_name)
    if parts.scheme in ("http", "https") and parts.netloc:
        return RestClient(url, model_name)
    raise UserError(f"--url={url} must be http://HOST:PORT for REST (8501), or grpc://HOST:PORT for gRPC (8500)")


@contextlib.contextmanager
def local_server(version: Path, model_name: str) -> Iterator[Client]:
    """Serves a version in a process with TensorFlow alone, and yields a client for it.

    Raises:
        UserError: the model cannot be loaded.
    """
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, "-I", str(_SERVER), str(version)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            ready = process.stdout.readline()
            if not ready.startswith("port "):
                log.seek(0)
                lines = log.read().strip().splitlines() or ["it ended without a word"]
                raise UserError(f"{version} cannot be served: {lines[-1]}")
            yield GrpcClient(f"127.0.0.1:{int(ready.split()[1])}", model_name)
        finally:
            process.kill()
            process.communicate()
