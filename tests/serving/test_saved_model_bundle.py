"""Runs an exported model through TensorFlow's C++ loader (SavedModelBundle), which TensorFlow Serving uses.

The tests do not need TensorFlow Serving's binary; the loader is the part of it that could reject a model.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tests.helpers.evaluation_data import CLASSES, SIZES, expected_posteriors, photo, save_net
from tests.helpers.paths import ROOT
from vgg_keras.serving import exporter
from vgg_keras.serving.exporter import ExportConfig

pytestmark = pytest.mark.generations
PHOTOS = [photo(index, size) for index, size in enumerate(SIZES)]
OUTPUTS = {
    "serving_default": {
        "class_names": (-1, 5), "class_indices": (-1, 5), "probabilities": (-1, 5), "posterior": (-1, 6)
    },
    "dense": {"class_score_map": (-1, -1, -1, 6), "posterior": (-1, 6)},
    "features": {"features": (-1, 256)},
}  # fmt: skip


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    save_net("A-LRN", folder / "run")
    (folder / "run" / "label_names.txt").write_text("".join(f"kind {name}\n" for name in CLASSES))
    plan = ExportConfig(precision=request.param)
    return exporter.export(folder / "run" / "best.keras", folder / "models", PHOTOS, plan)


def signatures(version):
    (graph,) = SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs
    return {name: one for name, one in graph.signature_def.items() if not name.startswith("__")}


def run(version, signature, value, folder):
    """Runs a signature in a process of its own; returns (exit code, stderr, outputs)."""
    definition = signatures(version)[signature]
    (takes,) = definition.inputs.values()
    names = {"input": takes.name, "outputs": {name: one.name for name, one in definition.outputs.items()}}
    (folder / "names.json").write_text(json.dumps(names))
    np.save(folder / "in.npy", value)
    script = ROOT / "tests" / "helpers" / "c_runtime.py"
    files = [folder / name for name in ("in.npy", "out.npz", "names.json")]
    command = [sys.executable, "-I", script, Path(tf.__file__).parent, version, *files]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    outputs = dict(np.load(folder / "out.npz")) if process.returncode == 0 else {}
    return process.returncode, process.stderr, outputs


def test_every_signature_is_batched_along_its_first_dimension(exported):
    found = signatures(exported)
    shapes = {
        signature: {name: tuple(dim.size for dim in one.tensor_shape.dim) for name, one in definition.outputs.items()}
        for signature, definition in found.items()
    }
    assert shapes == OUTPUTS
    assert {one.tensor_shape.dim[0].size for definition in found.values() for one in definition.inputs.values()} == {-1}
    assert {definition.method_name for definition in found.values()} == {"tensorflow/serving/predict"}


@pytest.mark.multiprocess
def test_photos_of_mixed_sizes(exported, tmp_path):
    code, stderr, outputs = run(exported, "serving_default", np.array(PHOTOS, object), tmp_path)
    assert code == 0, stderr
    source = save_net("A-LRN", tmp_path / "same")
    expected = expected_posteriors(source, PHOTOS, "dense", (64,))
    tolerance = 1e-4 if exported.parent.parent.name.startswith("float32") else 0.1
    np.testing.assert_allclose(outputs["posterior"], expected, atol=tolerance)
    best = outputs["posterior"].argmax(axis=1)
    assert outputs["class_names"][:, 0].tolist() == [f"kind {CLASSES[index]}" for index in best]


@pytest.mark.multiprocess
def test_a_bad_image_is_an_invalid_argument(exported, tmp_path):
    code, stderr, _ = run(exported, "serving_default", np.array([PHOTOS[0], b"text"], object), tmp_path)
    assert code == 1
    assert "status 3: " in stderr  # INVALID_ARGUMENT
    assert "image_bytes[1] does not decode as a JPEG, PNG, GIF or BMP" in stderr
