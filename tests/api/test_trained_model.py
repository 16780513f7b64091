"""Tests loaded models against NumPy and Pillow, whatever form the photos come in."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vgg_keras as vgg
from tests.helpers import numpy_net
from tests.helpers.descriptors import expected_descriptors
from tests.helpers.evaluation_data import CLASSES, MEAN_RGB, expected_posteriors, photo, save_net
from vgg_keras.inference import image_inputs
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.serving import exporter
from vgg_keras.serving.exporter import ExportConfig

PHOTOS = [photo(1, (90, 70)), photo(2, (64, 100))]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Makes a folder with a run in run/, its export in exported/ at Q = 64 and 80, and two photos in photos/."""
    folder = tmp_path_factory.mktemp("loaded")
    save_net("A", folder / "run")
    (folder / "run" / "label_names.txt").write_text("".join(f"kind {name}\n" for name in CLASSES))
    (folder / "photos").mkdir()
    for index, encoded in enumerate(PHOTOS):
        (folder / "photos" / f"{index}.jpg").write_bytes(encoded)
    config = ExportConfig(TestProtocol(test_scales="64,80"))
    exporter.export(folder / "run" / "best.keras", folder / "exported", PHOTOS, config)
    return folder


@pytest.fixture(scope="module")
def model(place) -> vgg.TrainedModel:
    return vgg.load(place / "run")


def test_the_weights_are_loaded_once(place, loaded_files):
    loaded = vgg.load(place / "run" / "best.keras")
    loaded.classify(PHOTOS[0])
    loaded.classify(PHOTOS[0], method="multi_crop", test_scales=[64, 80])
    loaded.score_map(PHOTOS[0])
    loaded.features(PHOTOS[0], layers=["fc7", "fc6"])
    assert loaded_files == ["best.keras"]


@pytest.mark.parametrize("method", ["dense", "multi_crop", "center_crop"])
def test_posteriors(method, place, model):
    expected = expected_posteriors(model.keras_model, PHOTOS, method, (64, 80), flip=method != "center_crop")
    received = model.posteriors(PHOTOS, method=method, test_scales=(64, 80))
    assert received == pytest.approx(expected, abs=2e-3)
    found = model.classify(place / "photos", method=method, test_scales="64,80", top=2)
    for prediction, row in zip(found, expected, strict=True):
        best = np.argsort(-row)[:2].tolist()
        assert [label.index for label in prediction.labels] == best
        assert [label.name for label in prediction.labels] == [f"kind {CLASSES[index]}" for index in best]
        assert [label.posterior for label in prediction.labels] == pytest.approx(row[best], abs=2e-3)


def test_an_exported_model_gives_the_same(place, model):
    exported = vgg.load(place / "exported")
    assert exported.labels == model.labels
    assert exported.posteriors(PHOTOS) == pytest.approx(model.posteriors(PHOTOS, test_scales="64,80"), abs=1e-5)
    (theirs,), (ours,) = exported.features(PHOTOS).values(), model.features(PHOTOS, test_scales=(64, 80)).values()
    assert theirs == pytest.approx(ours, abs=1e-5)
    assert exported.score_map(PHOTOS[0]).scores == pytest.approx(model.score_map(PHOTOS[0]).scores, abs=1e-4)
    assert vgg.load(place / "exported" / "1").path == exported.path
    for message, call in {
        "exported with method=dense, and cannot be shown photos with method=center_crop": lambda: exported.classify(
            PHOTOS[0], method="center_crop"
        ),
        "exported with test_scales=64,80, and cannot be shown photos with test_scales=96": lambda: exported.classify(
            PHOTOS[0], test_scales=96
        ),
        "exported with the features of fc7 alone": lambda: exported.features(PHOTOS[0], layers=["fc6"]),
        "is a SavedModel, which holds no Keras model": lambda: exported.keras_model,
        "test_scale=32 must be at least 64": lambda: exported.score_map(PHOTOS[0], test_scale=32),
    }.items():
        with pytest.raises(vgg.UserError, match=message):
            call()


def test_scales(place, model):
    assert (model.input_size, model.scales(), model.scales((64, 96))) == (64, (64,), (64, 96))
    with pytest.raises(vgg.UserError, match="32"):  # S - 32, S and S + 32 of S = 64, where the input is 64 pixels wide
        model.scales("multi")
    exported = vgg.load(place / "exported")
    assert (exported.input_size, exported.scales()) == (64, (64, 80))
    with pytest.raises(vgg.UserError, match="exported with test_scales=64,80"):
        exported.scales(96)


def test_a_photo_is_read_upright(tmp_path):
    pixels = np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1) * 40, 3, axis=2)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=turned)
    assert (vgg.read_photo(tmp_path / "turned.png") == np.rot90(pixels, -1)).all()


def test_features(model):
    found = model.features(PHOTOS, layers=["fc7", "fc6"], test_scales=[64, 96])
    for layer, rows in found.items():
        expected = expected_descriptors(model.keras_model, PHOTOS, (64, 96), "average", layer)
        assert rows == pytest.approx(expected, abs=2e-3)
    assert model.features(PHOTOS[0])["fc7"].ndim == 1
    with pytest.raises(vgg.UserError, match=r"--layer=fc9 is not a layer that can describe an image.*did you mean fc"):
        model.features(PHOTOS[0], layers=["fc9"])


def test_score_map(model):
    found = model.score_map(PHOTOS[0], test_scale=128)
    whole = numpy_net.rescaled(PHOTOS[0], 128)
    expected = numpy_net.score_map(numpy_net.of_layers(model.keras_model), MEAN_RGB, whole)
    assert found.scores == pytest.approx(expected, abs=0.02)
    assert found.posteriors == pytest.approx(numpy_net.softmax(expected), abs=5e-3)
    assert found.photo.shape == (70, 90, 3)
    heat = found.heat_map(f"kind {CLASSES[1]}")
    assert heat.shape == (70, 90)
    # The corner of the photo is nearest to the corner of the map, and there the heat is the posterior.
    assert heat[0, 0] == pytest.approx(found.posteriors[0, 0, 1], abs=1e-6)
    small = found.heat_map(1, (35, 45))
    # Equal but for the places at which the slope changes.
    assert small == pytest.approx(heat.reshape(35, 2, 45, 2).mean(axis=(1, 3)), abs=0.05)
    assert found._repr_png_().startswith(b"\x89PNG")
    assert repr(found) == f"ScoreMap({expected.shape[0]}x{expected.shape[1]} positions at Q = 128, 6 classes)"
    with pytest.raises(vgg.UserError, match="label=kinda is not a class of the model; did you mean kind a"):
        found.heat_map("kinda")


def test_images_of_every_kind(place, model):
    expected = model.posteriors(PHOTOS[0])
    decoded = np.asarray(Image.open(io.BytesIO(PHOTOS[0])))
    path = place / "photos" / "0.jpg"
    for image in (
        path,
        str(path),
        bytearray(PHOTOS[0]),
        Image.open(path),
        decoded,
        decoded.astype(np.float32),
        decoded.astype(int),
    ):
        assert model.posteriors(image) == pytest.approx(expected, abs=1e-6)
    several = [path, PHOTOS[0], decoded, str(place / "photos" / "0*")]
    assert model.posteriors(several) == pytest.approx(np.stack([expected] * 4), abs=1e-6)
    assert model.posteriors(np.stack([decoded, decoded])) == pytest.approx(np.stack([expected] * 2), abs=1e-6)
    grey = decoded[..., 0]
    assert model.posteriors(grey) == pytest.approx(model.posteriors(np.repeat(grey[..., np.newaxis], 3, -1)), abs=1e-6)
    assert [one.file for one in model.classify(place / "photos")] == [str(path), str(place / "photos" / "1.jpg")]
    assert repr(model.classify(path, top=1)).startswith(f"{path}: kind ")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("absent.jpg", r"absent\.jpg: no photo found; name a file"),
        (b"no image", "an image: not an image in a format that Pillow reads"),
        (np.zeros((5, 5, 3)) + 0.5, "which look like levels on the scale 0..1: multiply them by 255"),
        (np.zeros((5, 5, 3)) - 1, "must hold levels 0..255; received -1 to -1"),
        (np.full((5, 5, 3), np.nan), "values that are no numbers"),
        (np.zeros((5, 5, 4)), r"must be \(H, W\), \(H, W, 1\) or \(H, W, 3\); received \(5, 5, 4\)"),
        (np.zeros((1, 20000, 3), np.uint8), "is too long and thin"),
        ([], "there are no images: the list is empty"),
        (np.zeros((0, 5, 5, 3), np.uint8), "there are no images"),
        ("", "the path of an image is empty"),
        (None, "must be a path, bytes, a Pillow image or an array; received NoneType"),
        (Image.new("RGB", (0, 5)), "is empty: 0x5 pixels"),
        ([3], "must be a path, bytes, a Pillow image or an array; received int"),
    ],
)
def test_images_that_cannot_be_used(image, message, model):
    with pytest.raises(vgg.UserError, match=message):
        model.classify(image)


def test_what_cannot_be_loaded_or_asked(place, model):
    for path, message in (
        ("absent", "absent does not exist"),
        (place / "rum", "does not exist; did you mean run"),
        (place / "photos", r"holds neither best\.keras of a run nor versions of an exported model"),
        (place / "photos" / "0.jpg", r"is not a \.keras file"),
    ):
        with pytest.raises(vgg.UserError, match=message):
            vgg.load(path)
    for arguments, message in (
        ({"method": "desne"}, "method=desne must be one of dense, multi_crop, center_crop, squash; did you mean dense"),
        ({"top": 0}, "top=0 must be at least 1"),
        ({"test_scales": 32}, "cannot be tested at Q = 32"),
        ({"test_scales": "large"}, "--test_scales=large must be different sides in pixels"),
    ):
        with pytest.raises(vgg.UserError, match=message):
            model.classify(PHOTOS[0], **arguments)


def test_a_photo_of_a_folder_that_cannot_be_read_is_left_out_with_a_warning(place, model, tmp_path):
    for index, encoded in enumerate([PHOTOS[0], PHOTOS[1][:-300], PHOTOS[1]]):
        (tmp_path / f"{index}.jpg").write_bytes(encoded)
    for images in (tmp_path, str(tmp_path / "*.jpg"), [tmp_path]):
        with pytest.warns(UserWarning, match=r"left out .*1\.jpg: image file is truncated"):
            found = model.classify(images, method="center_crop")
        assert [Path(one.file).name for one in found] == ["0.jpg", "2.jpg"]
    # A photo that is named is an error, since there is no answer for it.
    for images in (tmp_path / "1.jpg", [tmp_path / "0.jpg", tmp_path / "1.jpg"], [PHOTOS[0], PHOTOS[1][:-300]]):
        with pytest.raises(vgg.UserError, match=r"(1\.jpg|an image): image file is truncated"):
            model.classify(images, method="center_crop")
    for name in ("0.jpg", "2.jpg"):
        (tmp_path / name).unlink()
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(vgg.UserError, match="none of its 1 photos can be read"),
    ):
        model.posteriors(tmp_path)


def test_one_photo_at_a_time_is_in_memory(monkeypatch):
    read = []
    decode = image_inputs.photo_decoding.upright_rgb
    monkeypatch.setattr(image_inputs.photo_decoding, "upright_rgb", lambda content: read.append(1) or decode(content))
    photos = image_inputs.read_images(PHOTOS)
    assert not read
    next(photos)
    assert len(read) == 1
    assert len(list(photos)) == 1


def test_a_photo_that_an_exported_model_refuses_is_named(place, tmp_path):
    Image.new("RGB", (2000, 2)).save(tmp_path / "line.png")
    exported = vgg.load(place / "exported")
    for call in (exported.classify, exported.features):
        with pytest.raises(vgg.UserError, match=r"line\.png: the exported model refuses it: .*too long and thin"):
            call(tmp_path / "line.png")
