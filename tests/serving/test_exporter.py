"""Compares fully convolutional nets and the SavedModel with plain NumPy and the source model."""

import hashlib
import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from data_prep.synthetic_flowers import draw_flower
from tests.helpers.evaluation_data import expected_posteriors
from tests.helpers.processes import kill_when, start_verb
from vgg_keras import export
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import fully_convolutional, saving
from vgg_keras.models.vgg import IMAGENET_MEAN_RGB, NETS, Initialization, build
from vgg_keras.serving import check_photos, exporter, servable, versions
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.training import checkpoints
from vgg_keras.utils import files
from vgg_keras.utils.cli import UserError


def small(net="A", input_size=64, **arguments):
    initialization = Initialization("glorot", seed=1)
    return build(net, 5, input_size=input_size, width_multiplier=1 / 16, initialization=initialization, **arguments)


def flower(width, height, label=0):
    return np.asarray(draw_flower(label, np.random.default_rng(label)).resize((width, height)))


@pytest.fixture
def run(tmp_path):
    """Makes the folder of a finished run, with a model, samples, label names, record and history; returns it."""
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    saving.save_model(small(), folder / "best.keras")
    for label, size in enumerate([(100, 70), (64, 64), (50, 200)]):
        Image.fromarray(flower(*size, label)).save(folder / "samples" / f"{label}.jpg")
    (folder / "label_names.txt").write_text("a\nb\nc\nd\ne\n")
    (folder / "run.json").write_text(
        '{"flags": {"train_scale": "64", "data_dir": "flowers", "train_split": "train", "net": "A"}}'
    )
    history = {"epoch": 3, "validation_top1_error": 12.5, "validation_top5_error": 0.0, "validation_loss": 0.5}
    (folder / "history.jsonl").write_text(json.dumps({**history, "validation_num_images": 80}) + "\n")
    return folder


def test_every_position_of_the_map_is_fc6_to_8_of_its_7x7_window():
    model = build("A", 5, width_multiplier=1 / 16, initialization=Initialization("glorot", seed=1))
    converted = fully_convolutional.convert(model)
    image = flower(288, 352).astype(np.float32)[np.newaxis]
    score_map = converted(image).numpy()
    assert score_map.shape == (1, 352 // 32 - 6, 288 // 32 - 6, 5)
    conv5 = keras.Model(converted.input, converted.get_layer("block5_pool").output)(image).numpy()[0]
    (w6, b6), (w7, b7), (w8, b8) = (model.get_layer(name).get_weights() for name in ("fc6", "fc7", "fc8"))
    for row in range(score_map.shape[1]):
        for column in range(score_map.shape[2]):
            window = conv5[row : row + 7, column : column + 7].reshape(-1)  # 7 * 7 * 32
            hidden = np.maximum(np.maximum(window @ w6 + b6, 0) @ w7 + b7, 0)
            np.testing.assert_allclose(score_map[0, row, column], hidden @ w8 + b8, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_at_the_input_size_the_map_is_the_source(net, batch_norm):
    model = small(net, batch_norm=batch_norm)
    image = flower(64, 64).astype(np.float32)[np.newaxis]
    scores = fully_convolutional.convert(model)(image).numpy()
    assert scores.shape == (1, 1, 1, 5)
    np.testing.assert_allclose(tf.nn.softmax(scores[:, 0, 0]), model(image), rtol=1e-4, atol=1e-6)


def test_a_model_without_such_a_head_is_refused():
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="only_conv")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(outputs), name="pooled")
    with pytest.raises(UserError, match=r"pooled cannot be made fully convolutional: it needs one Flatten .*only_conv"):
        fully_convolutional.convert(model)


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
    export.main(export.ExportOptions(model=str(run), output_dir=str(tmp_path / "models"), keep=2))
    assert re.findall(r"removed version (\d+)", capsys.readouterr().out) == ["3", "20"]
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["100", "101", "notes"]


def test_versions_of_another_format_are_left_alone(tmp_path):
    (tmp_path / "4").mkdir()
    message = r"4 holds no saved_model\.pb: it is of another format; choose another --output_dir"
    with pytest.raises(UserError, match=message), versions.new_version(tmp_path, "saved_model.pb"):
        pass
    with pytest.raises(UserError, match=r"empty holds no version of a model; vgg_keras\.export makes one"):
        versions.newest(tmp_path / "empty")


@pytest.mark.multiprocess
def test_killed_at_any_moment_no_version_is_half_written(run, tmp_path):
    models = tmp_path / "models"
    moments = {
        "before the weights": lambda: list(models.glob(".1.incomplete/variables")),
        "before the card": lambda: list(models.glob(".1.incomplete/assets.extra/tf_serving_warmup_requests")),
    }
    for moment, come in moments.items():
        process = start_verb("vgg_keras.export", f"--model={run}", "--output_dir=models", cwd=tmp_path)
        kill_when(process, come)
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
        "# flowers", "| trained on | flowers, train |", "Top-1 error 12.50%, top-5 error 0.00%: 80 images", "--net=A",
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


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(UserError, match=r"absent\.keras is missing; give a \.keras file"):
        saving.load_model(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(UserError, match=r"text\.keras is not a Keras model that can be loaded"):
        saving.load_model(tmp_path / "text.keras")


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("stopped")

    with pytest.raises(OSError, match="stopped"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path):
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).touch()
    (tmp_path / "ckpt-3_temp").mkdir()
    (tmp_path / "ckpt-3_temp" / "part").touch()
    checkpoints.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt-1.data-00000-of-00001", "ckpt-1.index"]
