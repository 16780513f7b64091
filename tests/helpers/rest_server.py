"""Imitates TensorFlow Serving's REST interface, as its documentation describes it, in front of a gRPC client.

https://www.tensorflow.org/tfx/serving/api_rest: POST /v1/models/NAME:predict with columns, strings as {"b64": ...}.
"""

import base64
import contextlib
import http.server
import json
import threading

import numpy as np

from vgg_keras.serving.client import RequestRefused


def _tensor(column):
    if isinstance(column[0], dict):
        return np.array([base64.b64decode(item["b64"]) for item in column], object)
    return np.array(column, np.float32)


def _column(value):
    if value.dtype == object:
        return [[item.decode() for item in row] for row in value]
    return value.tolist()


@contextlib.contextmanager
def serving(client, model_name):
    """Yields the URL of a server that passes requests on to a client, and answers as TensorFlow Serving does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                if self.path != f"/v1/models/{model_name}:predict":
                    raise RequestRefused("NOT_FOUND", f"no such model: {self.path}")
                inputs = {name: _tensor(column) for name, column in request["inputs"].items()}
                outputs = {k: _column(v) for k, v in client.predict(request["signature_name"], inputs).items()}
                status, answer = 200, {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}
            except RequestRefused as refused:
                status, answer = 404 if refused.code == "NOT_FOUND" else 400, {"error": refused.message}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
