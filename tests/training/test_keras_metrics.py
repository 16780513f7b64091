"""Compares further validation metrics with scikit-learn and with values worked out by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import cohen_kappa_score

from tests.helpers.nets import small
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.train_steps import make
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.keras_metrics import ValidationMetrics
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations
# The best classes of the three rows are 1, 0, 2, the second best ones 0, 2, 1.
SCORES = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 1.0, 2.0]], np.float32)


def test_by_hand():
    metrics = ValidationMetrics({"TopKCategoricalAccuracy": {"k": 2, "name": "top2"}, "CategoricalAccuracy": {}})
    for _ in range(2):
        metrics.reset()
        metrics.update(np.array([0, 0]), SCORES[:2])
        metrics.update(np.array([0]), SCORES[2:])
        assert metrics.results() == {"top2": pytest.approx(2 / 3), "categorical_accuracy": pytest.approx(1 / 3)}
    assert not ValidationMetrics({})
    assert ValidationMetrics({}).results() == {}


def test_cohens_kappa_of_addons_is_that_of_scikit_learn():
    pytest.importorskip("tensorflow_addons", reason="tensorflow-addons works with TensorFlow 2.15 alone")
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 3, 40), rng.normal(size=(40, 3)).astype(np.float32)
    metrics = ValidationMetrics({"Addons>CohenKappa": {"num_classes": 3}})
    metrics.update(labels, scores)
    expected = cohen_kappa_score(labels, scores.argmax(axis=1))
    assert metrics.results() == {"cohen_kappa": pytest.approx(expected, abs=1e-6)}


def test_padding_does_not_count():
    model = small()
    compiled = make(model, metrics=ValidationMetrics({"CategoricalAccuracy": {}}))
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, 255, (8, 32, 32, 3)), tf.float32)
    best = model(images, training=False).numpy().argmax(axis=1)
    # Two of the five images have the wrong label; the three that are padding all have the right one.
    labels = np.where(np.arange(8) < 2, (best + 1) % 5, best).astype(np.int32)
    weights = tf.constant([1.0] * 5 + [0.0] * 3)
    score = compiled.evaluate([{"image": images, "label": tf.constant(labels), "weight": weights}])
    assert compiled.metrics.results() == {"categorical_accuracy": pytest.approx(0.6)}
    assert score.top1_error == pytest.approx(40)


def test_errors():
    for described, message in (
        ({"Nonsense": {}}, "Nonsense is no metric of Keras, such as TopKCategoricalAccuracy"),
        ({"binary_accuracy": {}}, "binary_accuracy is no metric of Keras"),
        ({"CategoricalAccuracy": {"nonsense": 1}}, r"CategoricalAccuracy cannot be made with \{'nonsense': 1\}"),
    ):
        with pytest.raises(ValueError, match=message):
            ValidationMetrics(described)
    for flag in ("[]", "{", '{"CategoricalAccuracy": 3}'):
        with pytest.raises(UserError, match=r"--metrics=.* must be a JSON object, such as"):
            TrainConfig(output_dir="x", metrics=flag).metric_arguments()
    with pytest.raises(
        UserError, match=r"--optimizer_args=3 must be a JSON object, such as '\{\"weight_decay\": 1e-4\}'"
    ):
        TrainConfig(output_dir="x", optimizer_args="3").optimizer_arguments()


@pytest.mark.multiprocess
def test_they_stand_in_the_history(run_verb, tmp_path, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--output_dir=run", "--epochs=1"]
    code, _, stderr = run_verb("vgg_keras.train", *flags, '--metrics={"CategoricalAccuracy": {}}')
    assert code == 0, stderr
    (entry,) = map(json.loads, (tmp_path / "run" / "history.jsonl").read_text().splitlines())
    assert entry["validation_categorical_accuracy"] == pytest.approx(1 - entry["validation_top1_error"] / 100)
