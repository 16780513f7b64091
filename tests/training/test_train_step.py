"""Tests the training step: dropout, the sum over parts, the penalty, precision, frozen layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from tests.helpers.train_steps import make
from vgg_keras.training import train_step
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": tf.constant(rng.uniform(0, 255, (8, 32, 32, 3)), tf.float32),
        "label": tf.constant(rng.integers(0, 5, 8), tf.int32),
        "row": tf.range(8),
    }


def test_without_dropout_the_training_pass_equals_the_model(batch):
    model = small(dropout=0.0)
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    masks = train_step.dropout_masks(model.layers, batch["row"], 8, tf.constant([0, 0], tf.int64))
    received = train_step.training_outputs(model.layers, batch["image"], masks)
    np.testing.assert_allclose(received, scores(batch["image"], training=False), rtol=1e-5, atol=1e-5)


def test_dropout_belongs_to_the_row():
    model = small(dropout=0.25)  # FC6 and FC7 have 256 features each
    seed = tf.constant([1, 2], tf.int64)
    whole = np.stack(train_step.dropout_masks(model.layers, tf.range(640), 640, seed))
    assert whole.shape == (2, 640, 256)
    assert abs(whole.mean() - 0.75) < 0.005
    part = np.stack(train_step.dropout_masks(model.layers, tf.constant([5, 40]), 640, seed))
    np.testing.assert_array_equal(part, whole[:, [5, 40]])
    other = np.stack(train_step.dropout_masks(model.layers, tf.range(640), 640, tf.constant([1, 3], tf.int64)))
    # The masks of another step and of another layer are independent: 2 * 0.25 * 0.75 of their elements differ.
    assert abs((other != whole).mean() - 0.375) < 0.01
    assert abs((whole[0] != whole[1]).mean() - 0.375) < 0.01


def test_dropout_scales_what_it_keeps(batch):
    model = small(dropout=0.25)
    keep_first = [tf.range(256)[tf.newaxis] < 128] * 2
    received = train_step.training_outputs(model.layers, batch["image"], keep_first)
    half = np.arange(256) < 128
    features = keras.Model(model.input, model.get_layer("flatten").output)(batch["image"]).numpy()
    for name in ("fc6", "fc7"):
        kernel, bias = model.get_layer(name).get_weights()
        features = np.maximum(features @ kernel + bias, 0) * half / 0.75
    kernel, bias = model.get_layer("fc8").get_weights()
    np.testing.assert_allclose(received, features @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_one_step_of_sgd_by_hand(batch):
    model = small(dropout=0.0, weight_decay=5e-4)
    variables = [variable.numpy() for variable in model.trainable_variables]
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    with tf.GradientTape() as tape:
        logits = scores(batch["image"], training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    sums = make(model, learning_rate=0.1).train(batch, 0).numpy()
    np.testing.assert_allclose(sums[0] / 8, loss, rtol=1e-5)
    assert sums[3] == 8
    for variable, before, gradient in zip(model.trainable_variables, variables, gradients, strict=True):
        decay = 5e-4 * before if "kernel" in variable.name else 0.0
        np.testing.assert_allclose(variable.numpy(), before - 0.1 * (gradient + decay), rtol=1e-4, atol=1e-6)


def four_terabytes(count, most):
    """Takes 4 TB for more than `most` images; TensorFlow waits ten seconds for them before it gives up."""
    elements = tf.where(count > most, tf.constant(2**40, tf.int64), tf.constant(1, tf.int64))
    return tf.reduce_sum(tf.random.uniform(elements[tf.newaxis]))


def memory_error(count, most):
    """Raises Python's MemoryError, of which TensorFlow makes the same error at once, for more than `most` images."""

    def fail_above(count):
        if count > most:
            raise MemoryError
        return np.float32(0)

    return tf.stop_gradient(tf.ensure_shape(tf.numpy_function(fail_above, [count], tf.float32), ()))


def need_memory(monkeypatch, most, need=memory_error):
    """Makes the net run out of memory with more than `most` images at a time."""

    def hungry(layers, inputs, masks):
        return plain(layers, inputs, masks) + 0 * need(tf.shape(inputs)[0], most)

    plain = train_step.training_outputs
    monkeypatch.setattr(train_step, "training_outputs", hungry)


def test_smaller_parts_where_memory_runs_out(batch, monkeypatch, capsys):
    expected = small(dropout=0.5)
    make(expected, micro_batch_size=2).train(batch, 0)
    need_memory(monkeypatch, 2)
    model = small(dropout=0.5)
    step = make(model, halve_if_needed=True)
    assert step.evaluation_batch_size == 8
    with console.speaking(True):
        step.train(batch, 0)
    told = "out of memory with 8 images on a device at a time; from now on with 4 (--micro_batch_size)\n"
    assert capsys.readouterr().out == told + told.replace("8", "x").replace("4", "2").replace("x", "4")
    assert step.evaluation_batch_size == 2
    for variable, other in zip(model.trainable_variables, expected.trainable_variables, strict=True):
        np.testing.assert_allclose(variable.numpy(), other.numpy(), atol=1e-7)


@pytest.mark.parametrize(
    ("need", "most", "settings", "message"),
    [
        (four_terabytes, 2, {}, "out of memory with 8 images on a device at a time; give --micro_batch_size=4"),
        (
            memory_error,
            2,
            {"halve_if_needed": True, "in_cluster": True},
            "on a device at a time; give --micro_batch_size=4",
        ),
        (
            memory_error,
            0,
            {"halve_if_needed": True},
            "out of memory with a single image on a device; choose a smaller net or S",
        ),
    ],
)
def test_too_little_memory_is_one_line(batch, monkeypatch, need, most, settings, message):
    need_memory(monkeypatch, most, need)
    with pytest.raises(UserError, match=message):
        make(small(), **settings).train(batch, 0)


@pytest.mark.parametrize(
    ("per_replica", "limit", "parts"), [(256, 32, 8), (50, 32, 2), (7, 3, 7), (8, 8, 1), (8, 100, 1)]
)
def test_number_of_parts(per_replica, limit, parts):
    assert train_step.num_parts(per_replica, limit) == parts


def test_parts_change_nothing(batch):
    whole, parts = small(), small()
    for model, micro_batch_size in ((whole, 8), (parts, 2)):
        compiled = make(model, micro_batch_size=micro_batch_size)
        assert compiled.evaluation_batch_size == micro_batch_size
        for step in range(3):
            sums = compiled.train(batch, step)
    np.testing.assert_allclose(parts.get_weights()[0], whole.get_weights()[0], rtol=1e-5, atol=1e-6)
    assert sums.numpy()[3] == 8


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_like_float32(batch, precision):
    def losses(policy):
        keras.mixed_precision.set_global_policy(policy)
        try:
            compiled = make(small(dropout=0.0), precision=policy)
            return [float(compiled.train(batch, step)[0]) / 8 for step in range(5)]
        finally:
            keras.mixed_precision.set_global_policy("float32")

    np.testing.assert_allclose(losses(precision), losses("float32"), rtol=0.05)


def test_compiled_by_xla(batch):
    plain, compiled = make(small()), make(small(), jit=True)
    for step in range(2):
        np.testing.assert_allclose(compiled.train(batch, step), plain.train(batch, step), rtol=1e-4)


def test_in_a_cluster_a_fifth_sum_tells_that_a_worker_was_asked_to_stop(batch):
    alone, in_cluster = small(), small()
    sums = make(alone).train(batch, 0, stop_asked=True)
    compiled = make(in_cluster, in_cluster=True)
    assert compiled.train(batch, 0).numpy().tolist() == [*sums.numpy().tolist(), 0.0]
    assert compiled.train(batch, 1, stop_asked=True).numpy()[4] == 1.0
    assert compiled.train(batch, 2).numpy()[4] == 0.0
    assert sums.shape == (4,)


def test_evaluation_ignores_padding(batch):
    model = small()
    compiled = make(model)
    weights = tf.constant([1.0] * 5 + [0.0] * 3)
    score = compiled.evaluate([{**batch, "weight": weights}])
    posteriors = model(batch["image"][:5]).numpy()
    expected = -np.log(posteriors[np.arange(5), batch["label"][:5]]).mean()
    np.testing.assert_allclose(score.loss, expected, rtol=1e-4)
    assert score.num_images == 5


def test_frozen_layers_stay_and_the_others_learn_as_by_hand(batch):
    model = small(dropout=0.0, weight_decay=5e-4, batch_norm=True)
    before = {id(variable): variable.numpy() for variable in model.variables}
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    trained = [layer for layer in model.layers if layer.name.startswith("fc")]
    with tf.GradientTape() as tape:
        logits = scores(batch["image"], training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits))
    variables = [variable for layer in trained for variable in layer.trainable_variables]
    gradients = dict(zip(map(id, variables), tape.gradient(loss, variables), strict=True))
    make(model, learning_rate=0.1, frozen_up_to="block5_pool", micro_batch_size=4).train(batch, 0)
    for variable in model.variables:
        old = before[id(variable)]
        decay = 5e-4 * old if id(variable) in gradients and "kernel" in variable.name else 0.0
        # Frozen layers have no gradient: their weights and the statistics of batch normalization do not change.
        expected = old - 0.1 * (gradients.get(id(variable), 0.0) + decay)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6)
        assert id(variable) in gradients or (variable.numpy() == old).all()


@pytest.mark.parametrize("layer", ["block3_pool", "flatten", "fc6"])
def test_cached_outputs_of_frozen_layers_give_the_same_steps(batch, layer):
    images, cached = small(), small()
    arguments = {"frozen_up_to": layer, "micro_batch_size": 4}
    on_images, on_outputs = make(images, **arguments), make(cached, cached=True, **arguments)
    assert (on_images.takes_images, on_outputs.takes_images) == (True, False)
    outputs = on_outputs.frozen_outputs(batch)
    assert outputs.shape == (8, *on_outputs.frozen_shape(32))
    expected = keras.Model(cached.input, cached.get_layer(layer).output)(batch["image"], training=False)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    for step in range(3):
        sums = on_outputs.train({**batch, "image": tf.constant(outputs)}, step)
        np.testing.assert_allclose(sums, on_images.train(batch, step), rtol=1e-5)
    weights = {"weight": tf.ones(8)}
    score = on_outputs.evaluate([{**batch, **weights, "image": tf.constant(outputs)}])
    np.testing.assert_allclose(score.loss, on_images.evaluate([{**batch, **weights}]).loss, rtol=1e-5)
