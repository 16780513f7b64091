"""Tests the refusal of bad files of PyTorch."""

import argparse
import pickle
import re
import zipfile

import numpy as np
import pytest

from tests.helpers.torch_net import Tensor, torch_save, torch_state
from tests.helpers.weight_files import save_safetensors, tiny_state
from vgg_keras.models.vgg import build
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats, torch_pickle, transfer


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


# --- Views: four numbers in the file, of which a tensor claims others.


@pytest.mark.parametrize(
    "view",
    [
        (1, (4,), (1,)),  # reaches one number too far
        (-1, (4,), (1,)),  # begins before the first
        (0, (2, 2), (-1, 2)),
        (0, (2, 2), (-(10**9), 10**9 + 2)),  # the sum of the steps fits, the single ones do not
        (0, (-2, -2), (1, 1)),
        (0, (2, 2), (2**62, 1)),
        (0, (2**31, 2**31), (0, 0)),  # one number, repeated, fills all memory
        (0, (5,), (0,)),
        (3, (2, 2), (1, 1)),
        (0, (1,) * 100, (1,) * 100),
        (0.0, (4,), (1,)),
        (0, (4,), (1, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("legacy", [False, True])
def test_views_outside_their_storage(view, legacy, tmp_path):
    torch_save({"features.0.weight": Tensor(np.ones(4, np.float32), view)}, tmp_path / "v.pth", legacy)
    with pytest.raises(UserError, match=r"v\.pth cannot be read as weights of PyTorch: a tensor (has|of|reaches)"):
        formats.read_weights(str(tmp_path / "v.pth"), "A")


def test_a_view_inside_its_storage(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    torch_save({"a.weight": Tensor(array, (5, (2, 3), (1, 2)))}, tmp_path / "v.pth")
    state = torch_pickle.read_state_dict(tmp_path / "v.pth")
    np.testing.assert_array_equal(state["a.weight"], [[5, 7, 9], [6, 8, 10]])


def test_a_pickle_that_asks_for_memory_gets_none(tmp_path):
    huge = (2**40).to_bytes(8, "little")
    for name, pickled in {
        "memo": b"\x80\x02}r\xff\xff\xff\x7f.",  # remember the dict in the last of two thousand million places
        "text": b"\x80\x04\x8d" + huge + b"a.",
        "bytes": b"\x80\x05\x96" + huge + b"a.",
        "deep": b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".",
    }.items():
        with zipfile.ZipFile(tmp_path / f"{name}.pth", "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
        with pytest.raises(UserError, match=rf"{name}\.pth cannot be read as weights of PyTorch: "):
            formats.read_weights(str(tmp_path / f"{name}.pth"), "A")


def test_compressed_parts_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(UserError, match=r"bomb\.pth cannot be read .*: archive/data\.pkl is compressed"):
        formats.read_weights(str(tmp_path / "bomb.pth"), "A")


# --- The shapes in which training scripts write a VGG.


def renamed(change):
    return lambda state: {change(name): tensor for name, tensor in state.items()}


TIMM = {"classifier.0": "pre_logits.fc1", "classifier.3": "pre_logits.fc2", "classifier.6": "head.fc"}


def timm_name(name):
    layer, _, kind = name.rpartition(".")
    return f"{TIMM.get(layer, layer)}.{kind}"


OPTIMIZER = {"state": {0: {"momentum_buffer": Tensor(np.ones(4, np.float32))}}, "param_groups": [{"lr": 0.1}]}
SHAPES = {
    "imagenet_example.pth": lambda state: {
        "epoch": 90,
        "arch": "vgg11",
        "state_dict": renamed(lambda name: name.replace("features.", "features.module."))(state),
        "best_acc1": 69.0,
        "optimizer": OPTIMIZER,
    },
    "model_best.pth.tar": lambda state: {"state_dict": state, "epoch": 1},
    "distributed.pth": renamed("module.{}".format),
    "compiled.pth": renamed("_orig_mod.{}".format),
    "both.pt": renamed("_orig_mod.module.{}".format),
    "wrapper.pth": renamed("model.{}".format),
    "lightning.ckpt": lambda state: {"state_dict": renamed("net.backbone.{}".format)(state), "loops": {}},
    "reference.pth": lambda state: {"model": state, "model_ema": state, "args": argparse.Namespace(lr=0.1)},
    "tutorial.pth": lambda state: {"model_state_dict": state, "optimizer_state_dict": OPTIMIZER, "loss": 0.3},
    "unknown_key.bin": lambda state: {"generator": state, "step": 7},
    "no_suffix": renamed(timm_name),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_checkpoints(name, tmp_path):
    state = tiny_state()
    torch_save(state, tmp_path / "plain.pth")
    torch_save(state, tmp_path / name, checkpoint=SHAPES[name])
    expected = formats.read_weights(str(tmp_path / "plain.pth"), "A")
    received = formats.read_weights(str(tmp_path / name), "A")
    assert (received.net, received.input_size, list(received.layers)) == ("A", 32, list(expected.layers))
    np.testing.assert_array_equal(received.layers["block5_conv2"][0][:, :, 0, 0], state["features.18.weight"][0, 0])
    for layer, arrays in expected.layers.items():
        for ours, theirs in zip(received.layers[layer], arrays, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_timms_first_dense_layer_is_a_convolution(tmp_path):
    state = tiny_state()
    torch_save(state, tmp_path / "plain.pth")
    theirs = {timm_name(name): array for name, array in state.items()}
    for layer in ("pre_logits.fc1.weight", "pre_logits.fc2.weight"):
        theirs[layer] = theirs[layer][:, :, np.newaxis, np.newaxis]
    save_safetensors(theirs, tmp_path / "timm.safetensors")
    expected = formats.read_weights(str(tmp_path / "plain.pth"), "A")
    received = formats.read_weights(str(tmp_path / "timm.safetensors"), "A")
    for layer in ("block1_conv1", "fc6", "fc7", "fc8"):
        for ours, one in zip(received.layers[layer], expected.layers[layer], strict=True):
            np.testing.assert_array_equal(ours, one)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (
            lambda state: {"student": state, "teacher": state},
            "it holds several state dicts, student, teacher; save one",
        ),
        (lambda state: {"epoch": 3}, "it holds something else than a state dict; save it again in PyTorch with torch"),
        (
            lambda state: argparse.Namespace(model=state),
            "it holds an object of argparse.Namespace, something else than",
        ),
        (lambda state: state | {"features.30.weight": 3}, "features.30.weight is no tensor, so it is something else"),
    ],
)
def test_checkpoints_without_one_state_dict(checkpoint, message, tmp_path):
    torch_save(tiny_state(), tmp_path / "c.pth", checkpoint=checkpoint)
    with pytest.raises(UserError, match=rf"c\.pth cannot be read as weights of PyTorch: {re.escape(message)}"):
        formats.read_weights(str(tmp_path / "c.pth"), "A")


def test_two_nets_in_one_state_dict(tmp_path):
    def two(state):
        return {f"{net}.{name}": tensor for net in ("student", "teacher") for name, tensor in state.items()}

    torch_save(tiny_state(), tmp_path / "two.pth", checkpoint=two)
    with pytest.raises(
        UserError, match=r"two\.pth holds several nets, with student\.features\.0\.weight and teacher\."
    ):
        formats.read_weights(str(tmp_path / "two.pth"), "A")
