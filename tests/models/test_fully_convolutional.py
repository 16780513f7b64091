"""Tests the conversion of the FC layers to convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import flower, small
from vgg_keras.models import fully_convolutional
from vgg_keras.models.architectures import NETS
from vgg_keras.models.vgg import Initialization, build
from vgg_keras.utils.errors import UserError


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
    model = small(net, input_size=64, batch_norm=batch_norm)
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
