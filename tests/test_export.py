"""Dense evaluation and the SavedModel against plain NumPy and the source model."""

import io
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep.drawn_flowers import draw_flower
from vgg_keras import checkpoints, fully_convolutional, serving
from vgg_keras.architectures import NETS, Initialization, build
from vgg_keras.command_line import UserError


def small(net="A", input_size=64, **arguments):
    initialization = Initialization("glorot", seed=1)
    return build(net, 5, input_size=input_size, width_multiplier=1 / 16, initialization=initialization, **arguments)


def flower(width, height, label=0):
    return np.asarray(draw_flower(label, np.random.default_rng(label)).resize((width, height)))


@pytest.fixture
def run(tmp_path):
    """The folder of a finished run: a model, its samples, its labels."""
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    checkpoints.save_model(small(), folder / "best.keras")
    for label, size in enumerate([(100, 70), (64, 64), (50, 200)]):
        Image.fromarray(flower(*size, label)).save(folder / "samples" / f"{label}.jpg")
    (folder / "label_names.txt").write_text("a\nb\nc\nd\ne\n")
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


def test_the_exported_model_serves_any_size_without_the_package(run, tmp_path):
    photos = serving.sample_photos(run / "best.keras", "")
    assert [photo.shape for photo in photos] == [(70, 100, 3), (64, 64, 3), (200, 50, 3)]
    exported = serving.export(run / "best.keras", tmp_path / "models", photos)
    assert exported == tmp_path / "models" / "1"
    assert (exported / "assets.extra" / "label_names.txt").read_text() == "a\nb\nc\nd\ne\n"
    images = np.stack([flower(100, 70), flower(100, 70, 3)]).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    script = (
        "import sys; sys.modules['vgg_keras'] = sys.modules['keras'] = None\n"
        "import numpy, tensorflow\n"
        "serve = tensorflow.saved_model.load('models/1').signatures['serving_default']\n"
        "outputs = serve(images=tensorflow.constant(numpy.load('images.npy')))\n"
        "numpy.savez('outputs.npz', **{name: value.numpy() for name, value in outputs.items()})\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    outputs = np.load(tmp_path / "outputs.npz")
    score_map = fully_convolutional.convert(checkpoints.load_model(run / "best.keras"))(images).numpy()
    assert score_map.shape == (2, 1, 2, 5)
    np.testing.assert_allclose(outputs["class_score_map"], score_map, rtol=1e-4, atol=1e-5)
    scores = np.exp(score_map.mean(axis=(1, 2)))
    np.testing.assert_allclose(outputs["posterior"], scores / scores.sum(axis=1, keepdims=True), rtol=1e-4)


def test_versions_count_up_and_nothing_half_written_stays(run, tmp_path, monkeypatch):
    photos = serving.sample_photos(run / "best.keras", "")
    for version in (1, 2):
        assert serving.export(run / "best.keras", tmp_path / "models", photos).name == str(version)

    # An export that does not agree with its source gets no name: damage a weight on the way.
    def damaged(model):
        converted = original(model)
        kernel, bias = converted.get_layer("fc8").get_weights()
        converted.get_layer("fc8").set_weights([kernel, bias + np.arange(5)])
        return converted

    original = fully_convolutional.convert
    monkeypatch.setattr(fully_convolutional, "convert", damaged)
    with pytest.raises(UserError, match=r"the exported model differs from vgg_a by 0\.\d+ in posterior; nothing was"):
        serving.export(run / "best.keras", tmp_path / "models", photos)
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["1", "2"]


@pytest.mark.multiprocess
def test_the_verb_and_its_errors(run, run_verb):
    code, stdout, stderr = run_verb("vgg_keras.export", f"--model={run / 'best.keras'}", "--output_dir=models/a")
    assert code == 0, stderr
    assert "agrees with the trained one on 3 photos" in stdout
    assert "models/a/1" in stdout
    code, _, stderr = run_verb("vgg_keras.export", "--model=absent.keras", "--output_dir=models/b")
    assert code == 1
    assert stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in stderr


def test_photos_to_check_on(run):
    assert len(serving.sample_photos(run / "x.keras", str(run / "samples" / "[01].jpg"))) == 2
    with pytest.raises(UserError, match="name some with --check_images=FOLDER"):
        serving.sample_photos(run.parent / "elsewhere.keras", "")
    (run / "samples" / "broken.jpg").write_bytes(b"text")
    with pytest.raises(UserError, match=r"broken\.jpg does not decode"):
        serving.sample_photos(run / "x.keras", "")


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(UserError, match=r"absent\.keras is missing; give a \.keras file"):
        checkpoints.load_model(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(UserError, match=r"text\.keras is not a Keras model that can be loaded"):
        checkpoints.load_model(tmp_path / "text.keras")


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("stopped")

    with pytest.raises(OSError, match="stopped"):
        checkpoints.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path):
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).touch()
    (tmp_path / "ckpt-3_temp").mkdir()
    (tmp_path / "ckpt-3_temp" / "part").touch()
    checkpoints.remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ckpt-1.data-00000-of-00001", "ckpt-1.index"]


def test_samples_are_decoded_whole(run):
    photo = serving.sample_photos(run / "best.keras", "")[0]
    expected = np.asarray(Image.open(io.BytesIO((run / "samples" / "0.jpg").read_bytes())))
    assert np.abs(photo.astype(int) - expected).max() <= 2
