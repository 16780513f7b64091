"""Compares fully convolutional nets and the SavedModel with plain NumPy and the source model."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.helpers.evaluation_data import expected_posteriors
from tests.helpers.nets import flower, small
from tests.helpers.processes import run_killed_at, start_verb
from tests.helpers.verbs import call_verb
from vgg_keras import export
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import saving
from vgg_keras.models.architectures import IMAGENET_MEAN_RGB
from vgg_keras.serving import check_photos, exporter, servable
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.tasks.options import ExportOptions
from vgg_keras.utils.errors import UserError


@pytest.fixture
def run(tmp_path):
    """Makes the folder of a finished run, with a model, samples, label names, record and history; returns it."""
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    saving.save_model(small(input_size=64), folder / "best.keras")
    for label, size in enumerate([(100, 70), (64, 64), (50, 200)]):
        Image.fromarray(flower(*size, label)).save(folder / "samples" / f"{label}.jpg")
    (folder / "label_names.txt").write_text("a\nb\nc\nd\ne\n")
    (folder / "run.json").write_text(
        '{"flags": {"train_scale": "64", "data_dir": "flowers", "train_split": "train", "net": "A"}}'
    )
    history = {"epoch": 3, "step": 30, "complete": True, "learning_rate": 0.01}
    history |= {"training_top1_error": 10.0, "training_loss": 0.4}
    history |= {"validation_top1_error": 12.5, "validation_top5_error": 0.0, "validation_loss": 0.5}
    (folder / "history.jsonl").write_text(json.dumps({**history, "validation_num_images": 80}) + "\n")
    return folder


def test_the_exported_model_serves_photos_without_the_package(run, tmp_path):
    photos = check_photos.read_check_photos(run / "best.keras", "")
    assert photos == [(run / "samples" / f"{index}.jpg").read_bytes() for index in range(3)]
    exported = exporter.export(run / "best.keras", tmp_path / "models", photos)
    assert exported == tmp_path / "models" / "1"
    assert (exported / "assets" / "label_names.txt").read_text() == "a\nb\nc\nd\ne\n"
    script = (
        "import sys; sys.modules['vgg_keras'] = sys.modules['keras'] = None\n"
        "import glob, numpy, tensorflow\n"
        "serve = tensorflow.saved_model.load('models/1').signatures['serving_default']\n"
        "photos = [open(path, 'rb').read() for path in sorted(glob.glob('run/samples/*'))]\n"
        "outputs = serve(image_bytes=tensorflow.constant(photos))\n"
        "numpy.savez('outputs.npz', **{name: value.numpy().astype('U' if value.dtype == 'string' else None)\n"
        "                              for name, value in outputs.items()})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    outputs = np.load(tmp_path / "outputs.npz")
    model = saving.load_model(run / "best.keras")
    expected = expected_posteriors(model, photos, "dense", (64,), mean_rgb=IMAGENET_MEAN_RGB)
    np.testing.assert_allclose(outputs["posterior"], expected, atol=1e-4)
    assert outputs["class_names"][:, 0].tolist() == ["abcde"[index] for index in expected.argmax(axis=1)]


def test_versions_count_up_and_nothing_half_written_stays(run, tmp_path, monkeypatch):
    photos = check_photos.read_check_photos(run / "best.keras", "")
    models = tmp_path / "models"
    # Remains of a killed process do not disturb an export.
    (models / ".1.incomplete" / "variables").mkdir(parents=True)
    (models / ".7.removed").mkdir()
    for version in (1, 2):
        assert exporter.export(run / "best.keras", models, photos).name == str(version)

    # A weight is damaged during the export: a version that differs from its source must not be published.
    def damaged(*arguments):
        served = original(*arguments)
        bias = served.variables_of_net[-1]
        bias.assign(bias + np.arange(5, dtype=np.float32))
        return served

    original = servable.ServedModel
    monkeypatch.setattr(exporter, "ServedModel", damaged)
    with pytest.raises(UserError, match=r"the exported model differs from vgg_a by 0\.\d+ in posterior; nothing was"):
        exporter.export(run / "best.keras", models, photos)
    assert sorted(path.name for path in models.iterdir()) == ["1", "2"]


def test_old_versions_are_removed(run, tmp_path, capsys):
    for version in (3, 20, 100):
        (tmp_path / "models" / str(version)).mkdir(parents=True)
        (tmp_path / "models" / str(version) / "saved_model.pb").touch()
    (tmp_path / "models" / "notes").mkdir()
    call_verb(export.main, [f"--model={run}", f"--output_dir={tmp_path / 'models'}", "--keep=2"], ExportOptions)
    assert re.findall(r"removed version (\d+)", capsys.readouterr().out) == ["3", "20"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["100", "101", "notes"]


@pytest.mark.multiprocess
def test_killed_at_any_moment_no_version_is_half_written(run, tmp_path):
    models = tmp_path / "models"
    moments = {
        "before the weights": "tensorflow.saved_model.save",
        "before the comparison": "vgg_keras.serving.exporter.check_agreement",
        "before the card": "vgg_keras.serving.model_card.text",
    }
    for moment, function in moments.items():
        run_killed_at(function, "vgg_keras.export", f"--model={run}", "--output_dir=models", cwd=tmp_path)
        assert sorted(path.name for path in models.iterdir()) == [".1.incomplete", ".lock"], moment
        published = [path for path in models.iterdir() if path.name.isdigit()]
        assert all((path / "assets.extra" / "model_card.md").exists() for path in published), moment
        assert published == [], moment
    process = start_verb("vgg_keras.export", f"--model={run}", "--output_dir=models", cwd=tmp_path)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert [path.name for path in models.iterdir()] == ["1"]


def test_what_lies_beside_the_graph(run, tmp_path):
    photos = check_photos.read_check_photos(run / "best.keras", "")
    plan = ExportConfig(TestProtocol("dense", "64,96"), top=2, max_megapixels=3)
    exported = exporter.export(run / "best.keras", tmp_path / "flowers", photos, plan)
    # The file is read with the protos alone, as TensorFlow Serving reads it.
    path = exported / "assets.extra" / "tf_serving_warmup_requests"
    logs = [PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    assert [log.WhichOneof("log_type") for log in logs] == ["predict_log"] * 6
    requests = [log.predict_log.request for log in logs]
    assert {request.model_spec.name for request in requests} == {"flowers"}
    assert [request.model_spec.signature_name for request in requests] == [
        *["serving_default"] * 4, "dense", "features"
    ]  # fmt: skip
    assert [list(request.inputs["image_bytes"].string_val) for request in requests[:3]] == [[one] for one in photos]
    answers = tf.make_ndarray(logs[3].predict_log.response.outputs["posterior"])
    model = saving.load_model(run / "best.keras")
    expected = expected_posteriors(model, photos, "dense", (64, 96), mean_rgb=IMAGENET_MEAN_RGB)
    np.testing.assert_allclose(answers, expected, atol=1e-4)

    card = (exported / "assets.extra" / "model_card.md").read_text()
    for text in (
        "# flowers", "| trained on | flowers, train |", "Top-1 error 12.50%: 80 images", "--net=A",
        "Q = 64, 96", "3 million pixels", "3 of 3 photos get the same best class", "`probabilities` (B, 2)",
        f"SHA-256 {hashlib.sha256((run / 'best.keras').read_bytes()).hexdigest()}", f"tensorflow {tf.__version__}",
    ):  # fmt: skip
        assert text in card, text


@pytest.mark.multiprocess
def test_the_verb_and_its_errors(run, run_verb):
    code, stdout, stderr = run_verb("vgg_keras.export", f"--model={run}", "--output_dir=models/a")
    assert code == 0, stderr
    assert "3 of 3 photos get the same best class; posteriors differ by" in stdout
    assert "models/a/1/assets.extra/model_card.md" in stdout
    code, _, stderr = run_verb("vgg_keras.export", "--model=absent.keras", "--output_dir=models/b")
    assert code == 1
    assert stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in stderr


def test_photos_to_check_on(run):
    assert len(check_photos.read_check_photos(run / "x.keras", str(run / "samples" / "[01].jpg"))) == 2
    with pytest.raises(UserError, match="name some with --check_images=FOLDER"):
        check_photos.read_check_photos(run.parent / "elsewhere.keras", "")
    (run / "samples" / "broken.jpg").write_bytes(b"text")
    with pytest.raises(UserError, match=r"broken\.jpg does not decode"):
        check_photos.read_check_photos(run / "x.keras", "")


def test_a_photo_too_long_for_memory_ends_the_export_with_one_line(run, tmp_path):
    Image.new("RGB", (2000, 2)).save(run / "samples" / "9.png")
    photos = check_photos.read_check_photos(run / "best.keras", "")
    message = r"photo 4 of the 4 to check the export on is too long and thin \(2000x2\)"
    with pytest.raises(UserError, match=message):
        exporter.export(run / "best.keras", tmp_path / "models", photos)
    assert not (tmp_path / "models" / "1").exists()
