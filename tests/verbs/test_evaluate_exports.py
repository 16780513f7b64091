"""Tests exports with the verb `evaluate`: their posteriors against NumPy and Pillow, and what it refuses."""

import hashlib
import io
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import MEAN_RGB, SIZES, encoded_images, photo, save_net, write_photos
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate, export
from vgg_keras.data import datasets
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.models import saving
from vgg_keras.serving import evaluated_export, export_record, found_export
from vgg_keras.tasks import serving_check
from vgg_keras.tasks.options import EvaluateOptions, ExportOptions
from vgg_keras.utils.errors import UserError

T = 1.7


def export_run(place, folder, *flags, run="run"):
    arguments = [f"--model={place / run}", f"--output_dir={folder}", f"--check_images={place / 'photos'}", *flags]
    call_verb(export.main, arguments, ExportOptions)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with 12 photos as a data set, a run, and its exports in three formats at a temperature of 1.7."""
    folder = tmp_path_factory.mktemp("exports")
    images = [photo(index, SIZES[index % len(SIZES)]) for index in range(12)]
    write_photos(images, folder / "data")
    (folder / "photos").mkdir()
    for index, image in enumerate(images[:3]):
        (folder / "photos" / f"{index}.jpg").write_bytes(image)
    save_net("A", folder / "run", input_size=32, train_scale="48")
    export_run(folder, folder / "served", f"--temperature={T}", "--test_scales=48,64")
    export_run(folder, folder / "onnx", f"--temperature={T}", "--test_scales=48,64", "--format=onnx")
    calibration = [f"--data_dir={folder / 'data'}", "--split=validation"]
    export_run(folder, folder / "tflite", f"--temperature={T}", "--format=tflite", *calibration)
    return folder


def run(place, output_dir, model, *flags):
    """Tests a model; returns the record and the posteriors."""
    arguments = [f"--model={place / model}", f"--data_dir={place / 'data'}", f"--output_dir={output_dir}"]
    call_verb(evaluate.main, [*arguments, "--save_posteriors", *flags], EvaluateOptions)
    saved = SavedPosteriors.load(output_dir / "posteriors.npz")
    return json.loads((output_dir / "evaluation.json").read_text()), *saved.by_method.values()


@pytest.fixture(scope="module")
def scores(place):
    """Returns a function from a view, (H, W, 3), to the class scores that NumPy computes, averaged over the map."""
    weights = numpy_net.of_layers(saving.load_model(place / "run" / "best.keras"))
    return lambda view: numpy_net.score_map(weights, MEAN_RGB, view).mean(axis=(0, 1))


@pytest.fixture(scope="module")
def photos(place):
    return encoded_images(datasets.open_data(str(place / "data")))


def compared_record(folder, run):
    """Returns the record of the evaluation of a run that an evaluation was compared with."""
    sha256 = hashlib.sha256((run / "best.keras").read_bytes()).hexdigest()
    return folder / "compared" / sha256[:12] / "evaluation.json"


def test_a_saved_model_and_its_paired_difference(place, photos, scores, tmp_path, capsys):
    compare = f"--compare={place / 'run'}"
    record, found = run(place, tmp_path / "e", "served", compare)
    views = [[numpy_net.rescaled(image, side) for side in (48, 64)] for image in photos]
    averaged = np.stack(
        [np.mean([numpy_net.softmax(scores(v)) for view in two for v in (view, view[:, ::-1])], 0) for two in views]
    )
    np.testing.assert_allclose(found, numpy_net.softmax(np.log(averaged) / T), atol=1e-4)
    (result,) = record["results"]
    shown = {key: result[key] for key in ("forms", "method", "test_scales", "flip")}
    assert shown == {"forms": ["SavedModel"], "method": "dense", "test_scales": [[48, 64]], "flip": True}
    assert record["models"][0]["temperature"] == T
    # The source was tested in the same way, and makes the same mistakes.
    source = json.loads(compared_record(tmp_path / "e", place / "run").read_text())
    assert source["settings"] == record["settings"]
    assert source["results"][-1]["test_scales"] == [[48, 64]]
    assert source["results"][-1]["forms"] == [""]
    assert source["results"][-1]["top1_error"] == result["top1_error"]
    printed, errors = capsys.readouterr()
    capsys_text = printed + errors
    assert re.search(
        r"A \(SavedModel\): top-1 error .* on 12 images; difference in points \+0\.00 \[.*\], p = 1", printed
    )
    report = (tmp_path / "e" / "report.md").read_text()
    assert "| A (SavedModel) | 48 | 48, 64 | dense |" in report
    assert "## Calibration" in report
    assert "an export was evaluated, which draws no maps" in report
    assert (tmp_path / "e" / "report.html").exists()
    assert "compared: A dense" in capsys_text
    # Another model gets a folder of its own beside the first one's.
    save_net("A", tmp_path / "other", input_size=32, train_scale="48", seed=3)
    run(place, tmp_path / "e", "served", f"--compare={tmp_path / 'other'}")
    assert compared_record(tmp_path / "e", tmp_path / "other").exists()
    assert compared_record(tmp_path / "e", place / "run").exists()
    capsys.readouterr()
    # Again: both evaluations are there.
    call_verb(
        evaluate.main,
        [
            f"--model={place / 'served' / '1'}",
            f"--data_dir={place / 'data'}",
            f"--output_dir={tmp_path / 'e'}",
            compare,
        ],
        EvaluateOptions,
    )
    assert "holds this evaluation already" in capsys.readouterr().out


def centre(image):
    whole = numpy_net.rescaled(image, 48)
    top, left = ((side - 32) // 2 for side in whole.shape[:2])
    return whole[top : top + 32, left : left + 32]


@pytest.mark.parametrize(
    ("model", "form", "tolerance"),
    [
        ("onnx", "ONNX", 1e-4),
        ("tflite/1/model.tflite", "TFLite float", 1e-4),
        ("tflite/1/model_int8.tflite", "TFLite int8", 0.15),
    ],
)
def test_other_formats_at_one_view(model, form, tolerance, place, photos, scores, tmp_path, capsys):
    record, found = run(place, tmp_path / "e", model)
    views = [numpy_net.rescaled(image, 48) if model == "onnx" else centre(image) for image in photos]
    expected = numpy_net.softmax(np.stack([scores(view) for view in views]) / T)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    (result,) = record["results"]
    method = "dense" if model == "onnx" else "center_crop"
    assert (result["method"], result["flip"], result["test_scales"]) == (method, False, [[48]])
    assert result["forms"] == [form]
    printed = capsys.readouterr().out
    assert f"the same command with --compare={place / 'run' / 'best.keras'}" in printed


def test_what_the_user_of_a_runtime_does_besides(place, photos, scores, tmp_path):
    # Several scales and mirror images: the posteriors of the model are averaged outside it.
    record, found = run(place, tmp_path / "e", "onnx/1/model.onnx", "--test_scales=48,64", "--flip")
    assert [result["test_scales"] for result in record["results"]] == [[[48]], [[64]], [[48, 64]]]
    views = [[numpy_net.rescaled(image, side) for side in (48, 64)] for image in photos]
    expected = [
        np.mean([numpy_net.softmax(scores(v) / T) for view in two for v in (view, view[:, ::-1])], 0) for two in views
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("model", "flags", "line"),
    [
        ("served", ["--method=center_crop"], r"\(SavedModel\) can only be tested with --method=dense, not center_crop"),
        ("served/1", ["--noflip"], "with --flip=True, not False; leave that out, or test the model .*best.keras$"),
        ("served", ["--test_scales=48"], "with --test_scales=48,64, not 48"),
        ("served", ["--average=posteriors"], "with --average=scores, not posteriors"),
        ("onnx", ["--average=posteriors"], r"\(ONNX\) can only be tested with --average=scores"),
        ("tflite/1/model.tflite", ["--method=dense"], "with --method=center_crop or multi_crop or squash, not dense"),
        ("tflite/1/model.tflite", ["--test_scales=24"], "looks at 32x32 pixels; it cannot be tested at Q = 24"),
        ("tflite", [], r"holds several models; name one of them: .*model\.tflite, .*model_int8\.tflite$"),
        ("tflite/2", [], "2 is missing"),
        (
            "run",
            ["--compare=served"],
            r"--compare=.*served cannot be tested as --model is: .* with --test_scales=48,64",
        ),
        ("served", ["--compare=nowhere"], "--compare=nowhere is neither a model nor the folder of a finished"),
    ],
)
def test_what_is_refused(model, flags, line, place, tmp_path):
    flags = [flag.replace("=served", f"={place / 'served'}") for flag in flags]
    with pytest.raises(UserError, match=line):
        run(place, tmp_path / "e", model, *flags)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    ("model", "compare", "output", "changed"),
    [
        ("served", "", "served/1", "served/1"),
        ("served/1", "", "served/1/assets.extra/e", "served/1"),
        ("onnx/1/model.onnx", "", "onnx/1/e", "onnx/1"),
        ("served", "", "served/2", "served/2"),  # it would be the newest version
        ("run", "served", "served/1/e", "served/1"),
    ],
)
def test_an_export_that_is_tested_is_not_written_into(model, compare, output, changed, place):
    before = sorted(place.rglob("*"))
    arguments = [f"--model={place / model}", f"--data_dir={place / 'data'}", f"--output_dir={place / output}"]
    compared = [f"--compare={place / compare}"] if compare else []
    with pytest.raises(UserError, match=rf"{output} lies in one of the inputs, .*{changed}, and would change it"):
        call_verb(evaluate.main, [*arguments, *compared], EvaluateOptions)
    assert sorted(place.rglob("*")) == before


def test_an_empty_version_is_named(tmp_path):
    (tmp_path / "root" / "3").mkdir(parents=True)
    with pytest.raises(UserError, match=r"root/3, the newest version in .*root, holds no exported model; export again"):
        found_export.find(tmp_path / "root")


def test_damaged_and_foreign_files(place, tmp_path):
    shutil.copytree(place / "tflite", tmp_path / "copy")
    path = tmp_path / "copy" / "1" / "model.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.tflite is damaged: its checksum is wrong; export the model again"):
        run(tmp_path, tmp_path / "e", "copy/1/model.tflite", f"--data_dir={place / 'data'}")
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"net\.tflite is not called model\.onnx or model\.tflite"):
        run(tmp_path, tmp_path / "e", "net.tflite", f"--data_dir={place / 'data'}")
    shutil.move(path, tmp_path / "model.tflite")
    with pytest.raises(UserError, match=r"export\.json"):
        run(tmp_path, tmp_path / "e", "model.tflite", f"--data_dir={place / 'data'}")


def test_a_refused_photo_is_named_and_the_others_are_kept(place, photos, tmp_path, monkeypatch):
    classify, calls = evaluated_export._load_saved_model(place / "served" / "1"), []

    def refusing(image_bytes):
        if photos[9] in image_bytes.numpy().tolist():
            raise tf.errors.InvalidArgumentError(None, None, "assertion failed: [image_bytes[1] is too large]")
        return classify(image_bytes)

    def counting(image_bytes):
        calls.append(len(image_bytes))
        return classify(image_bytes)

    monkeypatch.setattr(evaluated_export, "_load_saved_model", lambda version: refusing)
    with pytest.raises(UserError, match=r"served/1 refuses image 9 .*\.jpg: image_bytes\[1\] is too large"):
        run(place, tmp_path / "e", "served", "--batch_size=4")
    monkeypatch.setattr(evaluated_export, "_load_saved_model", lambda version: counting)
    _, found = run(place, tmp_path / "e", "served", "--batch_size=4")
    assert calls == [4]  # eight photos were done
    batches = [classify(tf.constant(photos[start : start + 4])) for start in (0, 4, 8)]
    np.testing.assert_array_equal(found, np.concatenate(batches))


def test_an_export_is_fused_with_its_source(place, tmp_path):
    models = [f"--model={place / 'onnx'}", f"--model={place / 'run'}"]
    arguments = [*models, f"--data_dir={place / 'data'}", f"--output_dir={tmp_path / 'e'}"]
    call_verb(evaluate.main, arguments, EvaluateOptions)
    results = json.loads((tmp_path / "e" / "evaluation.json").read_text())["results"]
    assert [result["nets"] for result in results] == [["A"], ["A"], ["A", "A"]]
    assert [result["forms"] for result in results] == [["ONNX"], [""], ["ONNX", ""]]


def test_an_export_can_have_the_temperature_of_an_evaluation(place, tmp_path):
    record, _ = run(place, tmp_path / "e", "run", "--method=center_crop")
    fitted = record["calibration"]["temperature"]
    assert fitted > 0
    export_run(place, tmp_path / "x", f"--temperature={tmp_path / 'e'}", "--method=center_crop")
    described = export_record.read(tmp_path / "x" / "1")
    assert described["temperature"] == fitted
    card = (tmp_path / "x" / "1" / "assets.extra" / "model_card.md").read_text()
    assert f"scaled by the temperature {fitted:.4g}" in card
    for flags, line in (
        ([f"--temperature={tmp_path / 'e'}"], r"shown otherwise than to the export \(--method=dense, was center_crop"),
        ([f"--temperature={tmp_path / 'e'}", "--method=center_crop", "--flip"], r"\(--flip=True, was False\)"),
        (["--temperature=0"], "--temperature=0 must be a number from 0.05 to 20, or the folder of an evaluation"),
        (["--temperature=0_5"], "--temperature=0_5 is neither a number from 0.05 to 20 nor the folder of a finished"),
        (["--temperature=nan"], "--temperature=nan must be a number from 0.05 to 20"),
        ([f"--temperature={tmp_path}"], "neither a number from 0.05 to 20 nor the folder of a finished evaluation"),
    ):
        with pytest.raises(UserError, match=line):
            export_run(place, tmp_path / "y", *flags)
    save_net("A", tmp_path / "other", input_size=32, train_scale="48", seed=3)
    with pytest.raises(UserError, match=r"is no evaluation of .*best\.keras alone"):
        export_run(place, tmp_path / "y", f"--temperature={tmp_path / 'e'}", run=tmp_path / "other")
    assert not list((tmp_path / "y").glob("[0-9]*"))


def test_an_evaluation_of_an_export_gives_no_temperature_but_names_that_of_its_source(place, tmp_path):
    run(place, tmp_path / "e", "onnx")
    with pytest.raises(UserError, match=r"is an evaluation of an export, not of .*best\.keras; evaluate that, or give"):
        export_run(place, tmp_path / "y", f"--temperature={tmp_path / 'e'}")
    run(place, tmp_path / "e", "onnx", f"--compare={place / 'run'}")
    source = compared_record(tmp_path / "e", place / "run").parent
    with pytest.raises(UserError, match=rf"best\.keras, which {re.escape(str(source))} is; give that"):
        export_run(place, tmp_path / "y", f"--temperature={tmp_path / 'e'}")
    assert not list((tmp_path / "y").glob("[0-9]*"))


def test_a_temperature_is_a_number_in_python():
    options = {"model": "a.keras", "output_dir": "x"}
    assert ExportOptions(temperature=1.7, **options) == ExportOptions(temperature="1.7", **options)


def test_the_check_of_a_server_expects_the_temperature(place, photos, scores):
    record = export_record.read(place / "served" / "1")
    source = serving_check.load_source(place / "run" / "best.keras", record)
    decoded = np.asarray(Image.open(io.BytesIO(photos[0])))
    seen = [numpy_net.rescaled(photos[0], side) for side in (48, 64)]
    averaged = np.mean([numpy_net.softmax(scores(v)) for view in seen for v in (view, view[:, ::-1])], 0)
    np.testing.assert_allclose(source.answer(decoded), numpy_net.softmax(np.log(averaged) / T), atol=1e-4)
