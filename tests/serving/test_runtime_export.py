"""Compares ONNX and TensorFlow Lite models, run by their own runtimes, with NumPy and Pillow."""

import re
import sys

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import MEAN_RGB, SIZES, photo, save_net, write_photos
from tests.helpers.verbs import call_verb
from vgg_keras import export
from vgg_keras.tasks.options import ExportOptions
from vgg_keras.utils.errors import UserError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a run in run/ and a data set in data/."""
    folder = tmp_path_factory.mktemp("runtimes")
    save_net("A", folder / "run")
    (folder / "run" / "samples").mkdir()
    images = [photo(index, size) for index, size in enumerate(SIZES)]
    for index, image in enumerate(images):
        (folder / "run" / "samples" / f"{index}.jpg").write_bytes(image)
    write_photos(images, folder / "data")
    return folder


def run(place, *arguments):
    call_verb(export.main, [f"--model={place / 'run'}", *arguments], ExportOptions)


@pytest.fixture(scope="module")
def weights(place):
    return numpy_net.of_layers(save_net("A", place / "same"))


def rows(printed):
    lines = [re.split(r"  +", line.strip()) for line in printed.splitlines()]
    forms = ("SavedModel", "ONNX", "TFLite float", "TFLite float16", "TFLite int8")
    return [cells for cells in lines if cells[0] in forms]


def test_onnx_takes_images_of_any_size(place, weights, tmp_path, capsys):
    run(place, f"--output_dir={tmp_path}", "--format=onnx", "--test_scales=80")
    session = onnxruntime.InferenceSession(str(tmp_path / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    for size in ((90, 64), (140, 100)):
        image = numpy_net.rescaled(photo(5, size), min(size))
        score_map, posterior = session.run(["class_score_map", "posterior"], {"images": image[np.newaxis]})
        expected = numpy_net.score_map(weights, MEAN_RGB, image)
        np.testing.assert_allclose(score_map[0], expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(posterior[0], numpy_net.softmax(expected.mean(axis=(0, 1))), atol=1e-4)
    assert (tmp_path / "1" / "label_names.txt").read_text() == "".join(f"class {index}\n" for index in range(6))
    of_reference, of_onnx = rows(capsys.readouterr().out)
    assert (of_reference[0], of_onnx[0], of_onnx[5]) == ("SavedModel", "ONNX", "9 of 9")
    assert float(of_onnx[6]) < 1e-4
    size = (tmp_path / "1" / "model.onnx").stat().st_size
    assert float(of_onnx[1]) == pytest.approx(size / 1e6, abs=0.06)


def test_tflite_in_floats_and_in_whole_numbers(place, weights, tmp_path, capsys):
    data = f"--data_dir={place / 'data'}"
    run(place, f"--output_dir={tmp_path}", "--format=tflite", "--test_scales=64", data, "--split=validation")
    image = np.round(numpy_net.rescaled(photo(4, (90, 64)), 64)[:, 13:77])
    expected = numpy_net.softmax(numpy_net.score_map(weights, MEAN_RGB, image)[0, 0])
    names = ("model.tflite", "model_float16.tflite", "model_int8.tflite")
    for name, dtype, tolerance in zip(names, (np.float32, np.float32, np.uint8), (1e-4, 5e-3, 0.2), strict=True):
        runner = Interpreter(str(tmp_path / "1" / name)).get_signature_runner()
        (received,) = runner(images=image[np.newaxis].astype(dtype)).values()
        np.testing.assert_allclose(received[0], expected, atol=tolerance)
    sizes = [(tmp_path / "1" / name).stat().st_size for name in names]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.35 * sizes[0]
    found = rows(capsys.readouterr().out)
    assert [row[0] for row in found] == ["SavedModel", "TFLite float", "TFLite float16", "TFLite int8"]
    assert {row[3] for row in found} == {"the centre, 64x64"}
    assert int(found[3][5].split(" of ")[0]) >= 7


def test_without_data_there_is_no_int8(place, tmp_path, capsys):
    run(place, f"--output_dir={tmp_path}", "--format=tflite", "--test_scales=64")
    assert "float only" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == [
        *("assets.extra", "label_names.txt", "model.tflite", "model_float16.tflite")
    ]


def test_errors(place, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--precision=bfloat16 is for --format=saved_model"):
        run(place, f"--output_dir={tmp_path}", "--format=onnx", "--precision=bfloat16")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"--format=onnx needs more packages .*pip install 'vgg_keras\[onnx\]'"):
        run(place, f"--output_dir={tmp_path}", "--format=onnx")
    for flag in ("--data_dir=x", "--calibration_images=3"):
        with pytest.raises(UserError, match=r"is for --format=tflite, which alone is calibrated; leave it out"):
            run(place, f"--output_dir={tmp_path}", "--format=onnx", flag)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"1 holds no model\.tflite: it is of another format"):
        run(place, f"--output_dir={tmp_path}", "--format=tflite")
