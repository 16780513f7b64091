"""Tests the scales of the paper's protocol, and that its methods are known everywhere."""

from pathlib import Path

import numpy as np
import pytest

from vgg_keras.evaluation import tables
from vgg_keras.inference import protocol
from vgg_keras.inference.views import ViewSpec
from vgg_keras.serving import model_card
from vgg_keras.tasks.shared_options import ProtocolOptions
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import flag_fields


@pytest.mark.parametrize(
    ("train_scale", "kind", "expected"),
    [
        ((256, 256), protocol.SINGLE, (256,)),
        ((384, 384), protocol.SINGLE, (384,)),
        ((256, 512), protocol.SINGLE, (384,)),
        ((256, 256), protocol.MULTI, (224, 256, 288)),
        ((384, 384), protocol.MULTI, (352, 384, 416)),
        ((256, 512), protocol.MULTI, (256, 384, 512)),
    ],
)
def test_scales_of_sections_4_1_and_4_2(train_scale, kind, expected):
    assert protocol.test_scales(train_scale, kind) == expected


@pytest.mark.parametrize("method", protocol.METHODS)
def test_every_method_is_known_wherever_methods_are_named(method):
    assert method in tables.METHOD_NAMES
    choices = {field.name: field.metadata["choices"] for field in flag_fields(ProtocolOptions)}["method"]
    for base_method in protocol.TestProtocol(method).base_methods():
        assert base_method in choices
        assert base_method in model_card.METHOD_DESCRIPTIONS
        views = ViewSpec(base_method, 64, 64).extract(np.zeros((64, 70, 3), np.uint8))
        assert len(views) == ViewSpec(base_method, 64, 64).num_views


def test_models_decide_the_method_that_the_user_does_not_choose():
    squashed, dense = {Path("a"): "squash"}, {Path("b"): "dense"}
    nothing_chosen = protocol.TestProtocol(protocol.OWN)
    assert nothing_chosen.of_models(dense).method == "dense"
    assert nothing_chosen.of_models(squashed).method == "squash"
    assert protocol.TestProtocol("dense").of_models(squashed).method == "dense"
    with pytest.raises(UserError, match="a was validated on squashed photos, b was not: choose what both are shown"):
        nothing_chosen.of_models({**squashed, **dense})


@pytest.mark.parametrize(("method", "flips"), [("dense", True), ("center_crop", False), ("squash", False)])
def test_mirror_images_by_default(method, flips):
    assert protocol.TestProtocol(method).flips() == flips


@pytest.mark.parametrize("scales", ["256", "multi", "224,256"])
def test_squashed_photos_have_no_test_scale(scales):
    trained = protocol.TrainedNet("D", "256")
    assert protocol.TestProtocol("squash").scales_for(trained, Path("a"), 224) == (224,)
    assert protocol.TestProtocol("squash", "224").scales_for(trained, Path("a"), 224) == (224,)
    with pytest.raises(UserError, match=f"--test_scales={scales} is not for --method=squash"):
        protocol.TestProtocol("squash", scales).scales_for(trained, Path("a"), 224)
