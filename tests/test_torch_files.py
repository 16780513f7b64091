"""PyTorch's files: what is refused."""

import pickle
import zipfile

import pytest

from tests.torch_net import torch_save, torch_state
from vgg_keras import weight_files
from vgg_keras.command_line import UserError


def test_a_pickle_that_asks_for_more_is_refused(tmp_path):
    class Command:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"features.0.weight": Command()}))
    with pytest.raises(UserError, match=r"evil\.pth cannot be read .*: it asks for builtins\.exec, which no"):
        weight_files.read(str(tmp_path / "evil.pth"), "A")
    assert not (tmp_path / "executed").exists()


def test_broken_files_of_pytorch(tmp_path):
    state = torch_state("A", False)
    torch_save(state, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    for name, data in (("cut", content[: len(content) // 2]), ("text", b"text"), ("empty", b"")):
        (tmp_path / f"{name}.pth").write_bytes(data)
        with pytest.raises(UserError, match=rf"{name}\.pth cannot be read as weights of PyTorch"):
            weight_files.read(str(tmp_path / f"{name}.pth"), "A")
    torch_save({"conv1.weight": state["features.0.weight"]}, tmp_path / "resnet.pth")
    with pytest.raises(UserError, match=r"resnet\.pth: conv1\.weight is not of a torchvision VGG"):
        weight_files.read(str(tmp_path / "resnet.pth"), "A")
    few = {name: array for name, array in state.items() if not name.startswith("features.18")}
    torch_save(few, tmp_path / "few.pth")
    with pytest.raises(UserError, match=r"few\.pth is no net of the paper; its kernels, block by block: \(\(3,"):
        weight_files.read(str(tmp_path / "few.pth"), "A")
