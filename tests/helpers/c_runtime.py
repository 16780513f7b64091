"""Runs a signature of a SavedModel through TensorFlow's C interface alone, as a server in C++ does.

python c_runtime.py LIBRARY_FOLDER SAVED_MODEL INPUT.npy OUTPUTS.npz NAMES.json

NAMES.json maps the signature's input and outputs to names of tensors in the graph.
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np

_FLOAT, _INT32, _STRING, _STRING_BYTES = 1, 3, 7, 24
_DTYPES = {_FLOAT: np.float32, _INT32: np.int32}


# Return types of the functions that do not return a pointer.
_RESULTS = {
    "TF_GetCode": ctypes.c_int, "TF_Message": ctypes.c_char_p, "TF_NumDims": ctypes.c_int, "TF_Dim": ctypes.c_int64,
    "TF_TensorType": ctypes.c_int, "TF_TensorByteSize": ctypes.c_size_t, "TF_StringGetSize": ctypes.c_size_t,
}  # fmt: skip


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Library:
    """TensorFlow's C interface; every function of it is a method."""

    def __init__(self, folder):
        # The second library needs the symbols of the first.
        names = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
        self._libraries = [ctypes.CDLL(str(Path(folder) / name), mode=ctypes.RTLD_GLOBAL) for name in names]
        self.status = self.TF_NewStatus()

    def __getattr__(self, name):
        function = next(getattr(library, name) for library in self._libraries if hasattr(library, name))
        function.restype = _RESULTS.get(name, ctypes.c_void_p)
        return lambda *arguments: function(*(ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments))

    def check(self):
        """Exits with a message if the status of the last call is an error."""
        code = self.TF_GetCode(self.status)
        if code:
            sys.exit(f"status {code}: {self.TF_Message(self.status).decode()}")


def _tensor(tf, value):
    dims = (ctypes.c_int64 * value.ndim)(*value.shape)
    of_strings = value.dtype == object
    size = ctypes.c_size_t(value.size * _STRING_BYTES if of_strings else value.nbytes)
    dtype = ctypes.c_int(_STRING if of_strings else _FLOAT)
    tensor = tf.TF_AllocateTensor(dtype, dims, ctypes.c_int(value.ndim), size)
    data = tf.TF_TensorData(tensor)
    if not of_strings:
        ctypes.memmove(data, value.tobytes(), value.nbytes)
        return tensor
    for place, item in enumerate(value):
        tf.TF_StringInit(data + place * _STRING_BYTES)
        tf.TF_StringCopy(data + place * _STRING_BYTES, ctypes.c_char_p(item), ctypes.c_size_t(len(item)))
    return tensor


def _array(tf, tensor):
    shape = [tf.TF_Dim(tensor, ctypes.c_int(axis)) for axis in range(tf.TF_NumDims(tensor))]
    data, dtype = tf.TF_TensorData(tensor), tf.TF_TensorType(tensor)
    if dtype != _STRING:
        content = ctypes.string_at(data, tf.TF_TensorByteSize(tensor))
        return np.frombuffer(content, _DTYPES[dtype]).reshape(shape)
    places = [data + place * _STRING_BYTES for place in range(int(np.prod(shape)))]
    items = [ctypes.string_at(tf.TF_StringGetDataPointer(place), tf.TF_StringGetSize(place)) for place in places]
    return np.array([item.decode() for item in items]).reshape(shape)


def main(library, saved_model, input_file, output_file, names_file):
    tf = _Library(library)
    names = json.loads(Path(names_file).read_text())
    graph = tf.TF_NewGraph()
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = tf.TF_LoadSessionFromSavedModel(
        tf.TF_NewSessionOptions(), None, saved_model.encode(), tags, ctypes.c_int(1), graph, None, tf.status
    )
    tf.check()

    def output(name):
        operation, _, index = name.partition(":")
        return _Output(tf.TF_GraphOperationByName(graph, operation.encode()), int(index))

    feeds = (_Output * 1)(output(names["input"]))
    values = (ctypes.c_void_p * 1)(_tensor(tf, np.load(input_file, allow_pickle=True)))
    count = len(names["outputs"])
    fetches = (_Output * count)(*map(output, names["outputs"].values()))
    results = (ctypes.c_void_p * count)()
    tf.TF_SessionRun(
        session, None, feeds, values, ctypes.c_int(1), fetches, results, ctypes.c_int(count), None, ctypes.c_int(0),
        None, tf.status,
    )  # fmt: skip
    tf.check()
    np.savez(output_file, **{name: _array(tf, result) for name, result in zip(names["outputs"], results, strict=True)})
    assert "tensorflow" not in sys.modules


if __name__ == "__main__":
    main(*sys.argv[1:])
