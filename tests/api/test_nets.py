"""Tests nets that are built in one call."""

import numpy as np
import pytest

import vgg_keras as vgg
from vgg_keras.models import saving
from vgg_keras.models import vgg as nets

SMALL = {"input_shape": (32, 32, 3), "width_multiplier": 1 / 16}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, "vgg_d") for name in ("D", "d", "VGG16", "vgg-16", "vgg_16")),
        *((name, "vgg_a_lrn") for name in ("a-lrn", "A_LRN", "vgg11_lrn")),
        ("VGG11", "vgg_a"),
        ("vgg13", "vgg_b"),
        ("vgg16_c", "vgg_c"),
        ("VGG19", "vgg_e"),
    ],
)
def test_names_as_people_write_them(name, expected):
    assert vgg.build(name, 3, **SMALL).name == expected


def test_without_the_top():
    arguments = {"include_top": False, "width_multiplier": 1 / 16, "seed": 1}
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 64, 3)).astype(np.float32)
    trunk = vgg.build("B", input_shape=(None, None, 3), **arguments)
    features = trunk(image).numpy()
    assert features.shape == (1, 3, 2, 32)
    for pooling, expected in (("avg", features.mean(axis=(1, 2))), ("max", features.max(axis=(1, 2)))):
        pooled = vgg.build("B", input_shape=(None, None, 3), pooling=pooling, **arguments)
        assert pooled(image).numpy() == pytest.approx(expected, rel=1e-5)
    # The trunk is that of the whole net.
    whole = vgg.build("B", 7, input_shape=(32, 32, 3), width_multiplier=1 / 16, seed=1)
    for layer in trunk.layers[1:]:
        for ours, theirs in zip(layer.get_weights(), whole.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(ours, theirs)


def test_the_seed_determines_the_weights():
    first, second, other = (vgg.vgg11(3, **SMALL, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_weights_of_another_model(tmp_path):
    source = nets.build("A", 5, input_size=32, width_multiplier=1 / 16, mean_rgb=(1, 2, 3))
    saving.save_model(source, tmp_path / "source.keras")
    model = vgg.build("A", 3, weights=tmp_path / "source.keras", **SMALL)
    assert nets.subtracted_mean_rgb(model) == (1, 2, 3)
    for layer, equal in (("block1_conv1", True), ("fc7", True)):
        pairs = zip(source.get_layer(layer).get_weights(), model.get_layer(layer).get_weights(), strict=True)
        assert all(np.array_equal(ours, theirs) for ours, theirs in pairs) is equal
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": "VGG17"}, "net must be one of A, A-LRN, B, C, D, E, B-5x5, received 'VGG17'; did you mean vgg1"),
        ({"net": "A", "input_shape": (33, 33, 3)}, "input_size must be a positive multiple of 32, received 33"),
        ({"net": "A", "input_shape": (64, 32, 3)}, r"input_shape=\(64, 32, 3\) must be \(S, S, 3\)"),
        ({"net": "A", "input_shape": (None, None, 3)}, "the FC layers need a fixed size"),
        ({"net": "A", "pooling": "avg"}, "pooling must be None, or avg or max without the top, received 'avg'"),
        ({"net": "A", "initializer": "zeros"}, "initializer must be one of glorot, normal, he, received 'zeros'"),
        ({"net": "A", "weights": "absent.h5"}, r"absent\.h5 is missing"),
    ],
)
def test_what_cannot_be_built(arguments, message):
    with pytest.raises(vgg.UserError, match=message):
        vgg.build(**arguments)
