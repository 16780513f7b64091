"""Compares the served graph with NumPy and Pillow, and with the results of `evaluate` and `features`."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.descriptors import expected_descriptors as expected_descriptors
from tests.helpers.evaluation_data import CLASSES, SIZES, evaluate, expected_posteriors, photo, save_net, write_photos
from tests.helpers.exif_photos import turned_photo
from tests.helpers.images import encode
from vgg_keras.models import fully_convolutional, saving
from vgg_keras.serving.preprocessing import RequestPreprocessor
from vgg_keras.serving.servable import ServedModel, ServingConfig

PHOTOS = [photo(index, size) for index, size in enumerate(SIZES)]


def served(source, folder, *, method="dense", scales=(64, 80), flip=True, average="scores", **settings):
    labels = folder / "names.txt"
    labels.write_text("".join(f"kind {name}\n" for name in CLASSES))
    images = RequestPreprocessor(method, scales, source.input_shape[1], 1_000_000)
    return ServedModel(source, ServingConfig(images, flip, average, **settings), labels)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    save_net("A", folder / "run")
    return folder


@pytest.fixture(scope="module")
def source(place):
    return saving.load_model(place / "run" / "best.keras")


@pytest.mark.parametrize(
    ("method", "average", "flip"),
    [("dense", "scores", True), ("dense", "posteriors", False), ("multi_crop", "scores", True)]
    + [("center_crop", "scores", flip) for flip in (True, False)],
)
def test_photos_of_all_shapes_against_numpy_and_pillow(method, average, flip, source, tmp_path):
    model = served(source, tmp_path, method=method, average=average, flip=flip, top=3)
    photos = PHOTOS[:3] if method == "multi_crop" else PHOTOS
    outputs = {name: value.numpy() for name, value in model.classify(tf.constant(photos)).items()}
    expected = expected_posteriors(source, photos, method, (64, 80), flip=flip, average=average)
    np.testing.assert_allclose(outputs["posterior"], expected, atol=1e-4)
    best = np.argsort(-expected, axis=1)[:, :3]
    np.testing.assert_array_equal(outputs["class_indices"], best)
    np.testing.assert_allclose(outputs["probabilities"], np.take_along_axis(expected, best, axis=1), atol=1e-4)
    assert outputs["class_names"].tolist() == [[f"kind {CLASSES[index]}".encode() for index in row] for row in best]


@pytest.mark.parametrize("method", ["dense", "center_crop"])
def test_it_says_what_evaluate_says(method, place, source, tmp_path):
    data = write_photos(PHOTOS, tmp_path / "data")
    _, (by_method,) = evaluate(data, [place / "run"], tmp_path, method=method, test_scales="64,80")
    model = served(source, tmp_path, method=method, flip=method != "center_crop")
    # The records may be in another order than the photos.
    names = [example["name"].decode() for example in data.encoded("validation").as_numpy_iterator()]
    posterior = model.classify(tf.constant(PHOTOS))["posterior"].numpy()
    order = [int(name.partition(".")[0]) for name in names]
    np.testing.assert_allclose(posterior[order], by_method[method], atol=1e-5)


@pytest.mark.parametrize("method", ["dense", "multi_crop", "center_crop"])
def test_photos_in_batches_get_the_answers_of_each_alone(method, source, tmp_path):
    # At the scale 64 two crops' pixels make a batch, so that the three photos of 90x64 are in two batches.
    together, alone = (served(source, tmp_path, method=method, batch_pixels=pixels) for pixels in (2 * 91 * 64, 1))
    photos = tf.constant(PHOTOS[:5] if method == "multi_crop" else PHOTOS)
    for answers in ({"posterior": "classify"}, {"features": "features"}):
        for output, signature in answers.items():
            rows = [getattr(model, signature)(photos)[output].numpy() for model in (together, alone)]
            np.testing.assert_allclose(*rows, atol=1e-6)


def test_photos_of_a_phone_get_the_answers_of_upright_ones(source, tmp_path):
    # Some lie, some stand, so that only the sizes after turning tell which go in a batch.
    upright = [Image.open(io.BytesIO(photo(index, (90, 64)))).convert("RGB") for index in range(4)]
    lying = [turned_photo(orientation, one, "PNG") for orientation, one in zip((1, 6, 3, 8), upright, strict=True)]
    model = served(source, tmp_path)
    posterior = model.classify(tf.constant(lying))["posterior"].numpy()
    pngs = [encode(one, format="PNG") for one in upright]
    np.testing.assert_allclose(posterior, model.classify(tf.constant(pngs))["posterior"].numpy(), atol=1e-6)


def test_descriptors_against_numpy_and_pillow(source, tmp_path):
    model = served(source, tmp_path)
    features = model.features(tf.constant(PHOTOS[:4]))["features"].numpy()
    assert features.shape == (4, 256)
    expected = expected_descriptors(source, PHOTOS[:4], (64, 80), "average")
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_the_dense_signature_shows_images_as_they_are(source, tmp_path):
    model = served(source, tmp_path, scales=(1000,))
    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 160, 3)).astype(np.float32)
    outputs = model.dense(images)
    score_map = fully_convolutional.convert(source)(images).numpy()
    assert score_map.shape == (2, 2, 4, 6)
    np.testing.assert_allclose(outputs["class_score_map"], score_map, rtol=1e-5, atol=1e-5)
    scores = np.exp(score_map.mean(axis=(1, 2)))
    np.testing.assert_allclose(outputs["posterior"], scores / scores.sum(axis=1, keepdims=True), rtol=1e-4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"images are \[2 63 160 3\]; .* must be 64 at least"):
        model.dense(images[:, :63])


def test_in_bfloat16_weights_are_half_as_large_and_posteriors_near(source, tmp_path):
    whole, half = (served(source, tmp_path, dtype=dtype) for dtype in ("float32", "bfloat16"))
    # The scores stay in float32: of the eleven kernels and biases all but FC8's are stored as bfloat16.
    dtypes = [variable.dtype for variable in half.variables_of_net]
    assert (dtypes.count(tf.bfloat16), dtypes.count(tf.float32)) == (20, 2)
    expected, received = (model.classify(tf.constant(PHOTOS))["posterior"].numpy() for model in (whole, half))
    assert received.dtype == np.float32
    difference = np.abs(received - expected).max()
    assert 1e-4 < difference < 0.1


def test_one_dense_layer_describes_by_what_enters_it(tmp_path):
    inputs = keras.Input((32, 32, 3))
    outputs = keras.layers.Conv2D(4, 3, strides=8, name="conv")(inputs)
    outputs = keras.layers.Dense(6, activation="softmax", name="scores")(keras.layers.Flatten()(outputs))
    model = served(keras.Model(inputs, outputs, name="shallow"), tmp_path, scales=(32,))
    assert model.features(tf.constant(PHOTOS[:2]))["features"].shape == (2, 4)
    np.testing.assert_allclose(model.classify(tf.constant(PHOTOS[:2]))["posterior"].numpy().sum(axis=1), 1, rtol=1e-5)
