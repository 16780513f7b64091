"""Compares what the device does with a batch with NumPy's arithmetic."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from tests.helpers.train_steps import make
from vgg_keras.data.device_augmentation import augment

ways = pytest.mark.parametrize("apply", [augment, tf.function(augment), tf.function(augment, jit_compile=True)])


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (6, 32, 32, 3), np.uint8),
        "mirrored": np.array([True, False, True, True, False, False]),
        "rgb_shift": rng.normal(0, 5, (6, 3)).astype(np.float32),
        "label": rng.integers(0, 5, 6).astype(np.int32),
        "row": np.arange(6, dtype=np.int32),
    }


def expected_images(batch):
    mirrored = np.where(batch["mirrored"][:, None, None, None], batch["image"][:, :, ::-1], batch["image"])
    return mirrored.astype(np.float32) + batch["rgb_shift"][:, None, None, :]


@ways
def test_a_batch_is_mirrored_and_shifted_to_the_bit(apply, batch):
    shown = apply({name: tf.constant(values) for name, values in batch.items()})
    assert set(shown) == {"image", "label", "row"}
    assert shown["image"].dtype == tf.float32
    np.testing.assert_array_equal(shown["image"], expected_images(batch))
    assert shown["image"].numpy().min() < 0  # nothing is clipped
    np.testing.assert_array_equal(shown["label"], batch["label"])


@ways
def test_boxes_are_mirrored_along(apply, batch):
    boxes = np.tile(np.float32([0.25, -0.5, 0.5, 0.75]), (6, 1))  # ymin, xmin, ymax, xmax
    boxes[2] = 0  # there is none
    shown = apply({name: tf.constant(values) for name, values in {**batch, "box": boxes}.items()})
    expected = np.tile(np.float32([0.25, -0.5, 0.5, 0.75]), (6, 1))
    expected[[0, 3]] = [0.25, 0.25, 0.5, 1.5]
    expected[2] = 0
    np.testing.assert_array_equal(shown["box"], expected)


@ways
def test_a_batch_that_asks_for_nothing_stays_as_it_is(apply):
    images = np.random.default_rng(1).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    shown = apply({"image": tf.constant(images), "weight": tf.ones(2)})
    assert set(shown) == {"image", "weight"}
    np.testing.assert_array_equal(shown["image"], images)


@pytest.mark.generations
@pytest.mark.parametrize("settings", [{}, {"micro_batch_size": 2}, {"jit": True}])
def test_a_step_sees_the_augmented_images(batch, settings):
    raw = {name: tf.constant(values) for name, values in batch.items()}
    finished = {name: raw[name] for name in ("label", "row")} | {"image": tf.constant(expected_images(batch))}
    models = small(), small()
    for model, given in zip(models, (raw, finished), strict=True):
        step = make(model, batch_size=6, **settings)
        sums = step.train(given, 0)
        np.testing.assert_array_equal(step.shown(given)["image"], finished["image"])
    assert sums.numpy()[3] == 6
    for variable, other in zip(models[0].trainable_variables, models[1].trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), other.numpy(), rtol=1e-6, atol=1e-7)
