"""Tests the refusal of bad files of PyTorch."""

import pickle
import re
import zipfile

import numpy as np
import pytest

from tests.helpers.torch_net import torch_save, torch_state
from vgg_keras.models.vgg import build
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats, transfer


def test_a_pickle_that_asks_for_more_is_refused(tmp_path):
    class Command:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"features.0.weight": Command()}))
    with pytest.raises(UserError, match=r"evil\.pth cannot be read .*: it asks for builtins\.exec, which no"):
        formats.read_weights(str(tmp_path / "evil.pth"), "A")
    assert not (tmp_path / "executed").exists()


def test_broken_files_of_pytorch(tmp_path):
    state = torch_state("A", False)
    torch_save(state, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    for name, data in (("cut", content[: len(content) // 2]), ("text", b"text"), ("empty", b"")):
        (tmp_path / f"{name}.pth").write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}\.pth cannot be read as weights of PyTorch"):
            formats.read_weights(str(tmp_path / f"{name}.pth"), "A")
    torch_save({"conv1.weight": state["features.0.weight"]}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth: conv1\.weight is not of a torchvision VGG"):
        formats.read_weights(str(tmp_path / "resnet.pth"), "A")
    few = {name: array for name, array in state.items() if not name.startswith("features.18")}
    torch_save(few, tmp_path / "few.pth")
    with pytest.raises(UserError, match=r"few\.pth is no net of the paper; its kernels, block by block: \(\(3,"):
        formats.read_weights(str(tmp_path / "few.pth"), "A")


@pytest.mark.parametrize(
    ("batch_norm", "changes", "message"),
    [
        (False, {"features.0.bias": None}, "lacks features.0.bias, which a VGG of torchvision has"),
        (False, {"classifier.3.weight": None}, "lacks classifier.3.weight, which"),
        (True, {"features.1.running_var": None}, "lacks features.1.running_var, which"),
        (
            False,
            {"classifier.6.0.weight": np.ones((5, 256), np.float32)},
            "classifier.6.0.weight is not of a torchvision",
        ),
        (
            False,
            {"features.0.weight": np.ones((4, 1, 3, 3), np.float32)},
            "takes 1 channels where the nets here take red",
        ),
        (False, {"features.0.bias": np.ones((), np.float32)}, "block1_conv1 is no kernel and bias of a convolution"),
        (
            False,
            {"classifier.0.weight": np.ones((256, 100), np.float32)},
            "FC6's kernel (100, 256) looks at no square map",
        ),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_state_dicts_of_something_else(batch_norm, changes, message, tmp_path):
    state = {name: array for name, array in (torch_state("A", batch_norm) | changes).items() if array is not None}
    torch_save(state, tmp_path / "vgg.pth")
    with pytest.raises(UserError, match=rf"^vgg\.pth:? {re.escape(message)}"):
        formats.read_weights(str(tmp_path / "vgg.pth"), "A")


def test_a_head_alone_and_a_longer_one(tmp_path):
    state = torch_state("A", False)
    torch_save({name: array for name, array in state.items() if "classifier" in name}, tmp_path / "head.pth")
    with pytest.raises(UserError, match=r"head\.pth is no net of the paper; its kernels, block by block: \(\)"):
        formats.read_weights(str(tmp_path / "head.pth"), "A")
    fourth = {"classifier.9.weight": np.ones((2, 5), np.float32), "classifier.9.bias": np.ones(2, np.float32)}
    torch_save(state | fourth, tmp_path / "longer.pth")
    source = formats.read_weights(str(tmp_path / "longer.pth"), "A")
    report = transfer.transfer_weights(source, build("A", 5, width_multiplier=1 / 16))
    assert report.unexpected == ("classifier.9",)
