"""Tests what nets learn with numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.models import vgg
from vgg_keras.training.objectives import BoxRegression, Classification
from vgg_keras.utils.metrics import Score

# Truth: from (0.2, 0.1) to (0.6, 0.5), that is the centre (0.3, 0.4), 0.4 wide and high.
BOX = [0.2, 0.1, 0.6, 0.5]
# Of class 0 the same box, of class 1 one that is shifted by half its width: an IoU of 1/3.
OUTPUTS = [0.3, 0.4, 0.4, 0.4, 0.5, 0.4, 0.4, 0.4]


def batch(labels, box=BOX):
    return {"label": tf.constant(labels), "box": tf.constant([box] * len(labels), tf.float32)}


def test_the_euclidean_loss_of_each_class():
    objective = BoxRegression("pcr", 2)
    losses = objective.losses(tf.constant([OUTPUTS, OUTPUTS]), batch([0, 1]))
    np.testing.assert_allclose(losses, [0.0, 0.5 * 0.2**2], atol=1e-7)


def test_the_errors_of_each_class():
    objective = BoxRegression("pcr", 2)
    outputs = tf.constant([OUTPUTS, OUTPUTS, OUTPUTS])
    sums = objective.sums(outputs, batch([0, 1, 1]), tf.constant([1.0, 1.0, 0.0]))  # the last one is padding
    np.testing.assert_allclose(sums, [0.02, 1.0, 2 / 3, 2.0], atol=1e-6)
    text = objective.text(Score.from_sums(sums.numpy()))
    assert text == "loss 0.0100, localization error 50.00%, mean IoU 0.667"


def test_a_single_box_does_not_depend_on_the_class():
    objective = BoxRegression("scr", 2)
    losses = objective.losses(tf.constant([OUTPUTS[4:]] * 2), batch([0, 1]))
    np.testing.assert_allclose(losses, [0.02, 0.02], atol=1e-7)


def test_an_image_without_a_box_does_not_count():
    objective = BoxRegression("scr", 2)
    outputs, none = tf.constant([OUTPUTS[4:]]), batch([0], [0.0] * 4)
    assert objective.losses(outputs, none).numpy().tolist() == [0.0]
    assert objective.sums(outputs, none, tf.ones(1)).numpy().tolist() == [0.0] * 4


def test_an_iou_of_exactly_one_half_is_wrong():
    # From (0, 0) to (1, 0.5), and the same twice as wide: app. A wants more than 0.5.
    outputs = tf.constant([[0.25, 0.5, 0.5, 1.0]])
    sums = BoxRegression("scr", 1).sums(outputs, batch([0], [0.0, 0.0, 1.0, 1.0]), tf.ones(1))
    np.testing.assert_allclose(sums[1:3], [1.0, 0.5], atol=1e-6)


def test_classes_are_learned_as_before():
    objective = Classification(4)
    losses = objective.losses(tf.zeros((1, 4)), {"label": tf.constant([2])})
    assert losses.numpy() == pytest.approx([math.log(4)])
    assert objective.guessing_loss() == pytest.approx(math.log(4))


@pytest.mark.parametrize(("kind", "outputs"), [("scr", 4), ("pcr", 12)])
def test_a_net_that_predicts_boxes(kind, outputs):
    net = vgg.build("A", 3, input_size=32, width_multiplier=1 / 16, box_regression=kind)
    assert net.output_shape == (None, outputs)
    assert net.layers[-1].name == "fc8_boxes"
    assert net(tf.zeros((2, 32, 32, 3))).shape == (2, outputs)


def test_an_unknown_kind_of_boxes():
    with pytest.raises(ValueError, match="box_regression must be None, or scr or pcr"):
        vgg.build("A", 3, input_size=32, box_regression="per_class")
