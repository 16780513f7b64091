"""Tests explanations on small nets whose explanations can be worked out by hand, and in all that users ask wrongly."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vgg_keras.inference.explanations import Explainer, grad_cam, integrated_gradients, occlusion
from vgg_keras.utils.errors import UserError

EMPTY = (100.0, 110.0, 120.0)


def chain(*layers) -> keras.Model:
    inputs = outputs = keras.Input((None, None, 3))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def set_kernel(net, name, kernel, bias=None):
    kernel = np.array(kernel, np.float32)
    net.get_layer(name).set_weights([kernel[np.newaxis, np.newaxis], np.array(bias or [0.0] * kernel.shape[1])])


def linear_net():
    """Makes a net whose two scores are linear in the colours of each pixel."""
    net = chain(keras.layers.Conv2D(2, 1, name="scores"))
    set_kernel(net, "scores", [[0.01, 0.0], [0.02, 0.0], [-0.03, 0.01]], [0.5, 0.0])
    return net


def picture(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_integrated_gradients_of_a_linear_net():
    photo = picture(6, 9)
    found = integrated_gradients(linear_net(), tf.constant(photo, tf.float32), 0, EMPTY)
    # Each pixel has its own weighted difference to the empty colour: the bias plays no part.
    np.testing.assert_allclose(found, (photo - np.array(EMPTY)) @ [0.01, 0.02, -0.03], rtol=1e-4, atol=1e-4)


def test_integrated_gradients_share_out_the_score():
    net = chain(
        keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(3, 2),
    )
    photo = tf.constant(picture(12, 10), tf.float32)
    score, empty_score = (
        net(image[tf.newaxis])[..., 1].numpy().mean() for image in (photo, tf.broadcast_to(EMPTY, photo.shape))
    )
    found = integrated_gradients(net, photo, 1, EMPTY)
    np.testing.assert_allclose(found.mean(), score - empty_score, rtol=0.03)


def test_grad_cam_by_hand():
    net = chain(
        keras.layers.Conv2D(2, 1, activation="relu", name="conv"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Conv2D(1, 1, name="fc"),
    )
    set_kernel(net, "conv", [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    set_kernel(net, "fc", [[2.0], [-1.0]])
    image = np.zeros((4, 6, 3), np.float32)
    image[0, 0] = (5, 2, 0)
    image[2, 3] = (1, 8, 0)
    image[3, 5] = (0, 3, 0)
    found = grad_cam(net, tf.constant(image), 0)
    # The score is the mean of 2 max(R) - max(G) over six windows. The channels' weights are 2 and -1, since each window
    # has a sixth of the gradient; where all of a window are zero, it goes to one of them too.
    expected = np.zeros((4, 6))
    expected[0, 0] = 2 * 5 - 2
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Of the pooled map, 3x2 positions in steps of two pixels, the first alone is positive.
    pooled = grad_cam(net, tf.constant(image), 0, "pool")
    assert pooled.shape == (4, 6)
    np.testing.assert_allclose(pooled[0, :4], [8, 6, 2, 0], atol=1e-5)


def test_grad_cam_of_sides_that_pooling_rounds_down():
    net = chain(
        keras.layers.Conv2D(1, 1, name="conv"), keras.layers.MaxPooling2D(name="pool"), keras.layers.Conv2D(1, 1)
    )
    net.layers[-1].set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    set_kernel(net, "conv", [[1.0], [0.0], [0.0]])
    image = np.zeros((5, 7, 3), np.float32)
    image[..., 0] = np.arange(7)
    found = grad_cam(net, tf.constant(image), 0, "pool")
    # The pooled columns are 1, 3 and 5; the seventh column of pixels has the value of the last position.
    np.testing.assert_allclose(found, np.broadcast_to([1, 1.5, 2.5, 3.5, 4.5, 5, 5], (5, 7)), atol=1e-5)


def test_occlusion_by_hand():
    photo = picture(20, 33)
    found = occlusion(linear_net(), tf.constant(photo, tf.float32), 0, EMPTY)
    # The square has max(2, 20 / 8) = 2 pixels a side and moves by one: an independent loop over all its places.
    weights = np.array([[0.01, 0.02, -0.03], [0.0, 0.0, 0.01]])

    def posterior(image):
        first, second = (image.reshape(-1, 3) @ weights.T).mean(axis=0) + np.array([0.5, 0.0])
        return 1 / (1 + np.exp(second - first))

    falls, times = np.zeros((20, 33)), np.zeros((20, 33))
    for top in range(19):
        for left in range(32):
            hidden = photo.astype(float)
            hidden[top : top + 2, left : left + 2] = EMPTY
            falls[top : top + 2, left : left + 2] += posterior(photo.astype(float)) - posterior(hidden)
            times[top : top + 2, left : left + 2] += 1
    np.testing.assert_allclose(found, falls / times, atol=2e-6)


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "grad_cam"])
def test_mirror_images_and_scales(method):
    net = chain(keras.layers.Conv2D(4, 1, activation="relu", name="conv"), keras.layers.Conv2D(2, 1, name="scores"))
    photo = np.zeros((32, 48, 3), np.uint8)
    photo[4:12, 30:44] = (250, 20, 30)
    plain, flipped = (Explainer(net, [32], flip, EMPTY)(photo, 1, method) for flip in (False, True))
    # A net of single pixels sees the same in the mirror image, so that what is mirrored back is the same.
    np.testing.assert_allclose(flipped, plain, atol=1e-4 * np.abs(plain).max())
    larger = Explainer(net, [64], False, EMPTY)(photo, 1, method)
    both = Explainer(net, [32, 64], False, EMPTY)(photo, 1, method)
    assert larger.shape == both.shape == (32, 48)
    np.testing.assert_allclose(both, (plain + larger) / 2, atol=1e-4 * np.abs(both).max())


def test_what_is_wrong_is_named():
    net = chain(
        keras.layers.Conv2D(2, 1, name="block1_conv1"),
        keras.layers.MaxPooling2D(name="block1_pool"),
        keras.layers.Conv2D(2, 1, name="fc8"),
    )
    explain = Explainer(net, [32], False, EMPTY)
    photo = picture(32, 32)
    with pytest.raises(UserError, match=r"^method='gradcam' must be one of .*; did you mean grad_cam\?$"):
        explain(photo, 0, "gradcam")
    with pytest.raises(UserError, match=r"^layer='block1_conv2' is no layer .*block1_conv1, block1_pool; did you mean"):
        explain(photo, 0, "grad_cam", "block1_conv2")
    with pytest.raises(UserError, match=r"^layer='fc8' is no layer before the FC layers"):
        explain(photo, 0, "grad_cam", "fc8")
    with pytest.raises(UserError, match=r"^layer='block1_pool' is for method=grad_cam; leave it out for occlusion$"):
        explain(photo, 0, "occlusion", "block1_pool")
