"""Weights in the files of others: each gives what its source gives, by an implementation that is not ours."""

import collections
import contextlib
import io
import json
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import h5py
import keras
import numpy as np
import pytest

from tests.photos import decoded
from vgg_keras import checkpoints, run_folder, weight_files, weights
from vgg_keras.architectures import NETS, Initialization, build
from vgg_keras.checkpoints import Checkpoints, Progress
from vgg_keras.command_line import UserError
from vgg_keras.plateau import Plateau

WIDTHS = (4, 8, 16, 32, 32)
CLASSES, FC_WIDTH = 5, 256  # a sixteenth of the paper's, like the trunk's


def model_of(source, net=None, **arguments):
    """Builds a net for a source and copies everything into it."""
    model = build(
        net or source.net,
        CLASSES,
        input_size=source.input_size or 224,
        mean_rgb=source.mean_rgb,
        batch_norm=source.has_batch_norm(),
        width_multiplier=source.width_multiplier(),
        initialization=Initialization("glorot", seed=0),
        **arguments,
    )
    return model, weights.copy(source, model)


def images(size):
    """Three noisy images of different colours."""
    rng = np.random.default_rng(3)
    return (rng.uniform(0, 1, (3, size, size, 3)) * rng.uniform(50, 255, (3, 1, 1, 3))).astype(np.float32)


def random(rng, *shape):
    return (rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)


# --- torchvision: NumPy computes in PyTorch's own layout, (C, H, W) and (out, in, k, k).


def torch_state(net, batch_norm, seed=0):
    """Returns a state dict with torchvision's names and random numbers, and the order of its modules."""
    rng, state, index, channels = np.random.default_rng(seed), {}, 0, 3
    for kernels, width in zip(NETS[net], WIDTHS, strict=True):
        for _ in kernels:
            state[f"features.{index}.weight"] = random(rng, width, channels, 3, 3)
            state[f"features.{index}.bias"] = rng.uniform(-0.2, 0.2, width).astype(np.float32)
            if batch_norm:
                index += 1
                for kind, low, high in (("weight", 0.5, 1.5), ("bias", -0.2, 0.2)):
                    state[f"features.{index}.{kind}"] = rng.uniform(low, high, width).astype(np.float32)
                state[f"features.{index}.running_mean"] = rng.uniform(-0.2, 0.2, width).astype(np.float32)
                state[f"features.{index}.running_var"] = rng.uniform(0.1, 2, width).astype(np.float32)
                state[f"features.{index}.num_batches_tracked"] = np.array(7, np.int64)
            index, channels = index + 2, width
        index += 1
    shapes = ((FC_WIDTH, 7 * 7 * WIDTHS[-1]), (FC_WIDTH, FC_WIDTH), (CLASSES, FC_WIDTH))
    for place, (outputs, inputs) in zip((0, 3, 6), shapes, strict=True):
        state[f"classifier.{place}.weight"] = random(rng, outputs, inputs)
        state[f"classifier.{place}.bias"] = rng.uniform(-0.2, 0.2, outputs).astype(np.float32)
    return state


def torch_forward(net, state, batch_norm, rgb):
    """Computes the posteriors of one image: (H, W, 3) 0..255."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    values, index = ((rgb / 255 - mean) / std).transpose(2, 0, 1), 0
    for kernels in NETS[net]:
        for _ in kernels:
            padded = np.pad(values, [(0, 0), (1, 1), (1, 1)])
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (C, H, W, 3, 3)
            kernel, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            values = np.tensordot(kernel, windows, axes=((1, 2, 3), (0, 3, 4))) + bias[:, None, None]
            if batch_norm:
                index += 1
                kinds = ("weight", "bias", "running_mean", "running_var")
                gamma, beta, moving_mean, variance = (
                    state[f"features.{index}.{kind}"][:, None, None] for kind in kinds
                )
                values = gamma * (values - moving_mean) / np.sqrt(variance + 1e-5) + beta
            values, index = np.maximum(values, 0), index + 2
        channels, height, width = values.shape
        values = values.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
        index += 1
    values = values.reshape(-1)
    for place in (0, 3, 6):
        values = state[f"classifier.{place}.weight"] @ values + state[f"classifier.{place}.bias"]
        values = np.maximum(values, 0) if place < 6 else values
    return np.exp(values - values.max()) / np.exp(values - values.max()).sum()


class Tensor:
    """What pickles as a tensor of PyTorch does."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        torch = sys.modules["torch"]
        name = {"float32": "FloatStorage", "int64": "LongStorage"}[self.array.dtype.name]
        storage = torch.Storage(getattr(torch, name), self.array)
        strides = tuple(step // self.array.itemsize for step in self.array.strides)
        arguments = (storage, 0, self.array.shape, strides, False, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


@contextlib.contextmanager
def stub_torch():
    """Modules that bear PyTorch's names, so that pickles refer to them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    class Storage:
        def __init__(self, kind, array):
            self.kind, self.array = kind, array

    torch.Storage = Storage
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def _rebuild_tensor_v2(*_):
        raise AssertionError("nothing is rebuilt here")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    modules = {"torch": torch, "torch._utils": utils}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules |= modules
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def torch_save(content, path, legacy=False):
    """Writes a state dict as torch.save does: a zip, or before PyTorch 1.6 one pickle after the other."""
    arrays = {}
    with stub_torch() as torch:

        class Pickler(pickle.Pickler):
            def persistent_id(self, item):
                if not isinstance(item, torch.Storage):
                    return None
                key = str(len(arrays))
                arrays[key] = item.array
                return ("storage", item.kind, key, "cpu", item.array.size, *((None,) if legacy else ()))

        def pickled(item):
            stream = io.BytesIO()
            Pickler(stream, protocol=2).dump(item)
            return stream.getvalue()

        tensors = collections.OrderedDict((name, Tensor(array)) for name, array in content.items())
        if legacy:
            head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tensors]
            parts = [pickled(item) for item in head] + [pickled(list(arrays))]
            parts += [struct.pack("<q", array.size) + array.tobytes() for array in arrays.values()]
            path.write_bytes(b"".join(parts))
            return
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled(tensors))
            for key, array in arrays.items():
                archive.writestr(f"archive/data/{key}", array.tobytes())


@pytest.mark.parametrize(
    ("net", "batch_norm", "legacy"), [("A", False, False), ("A", False, True), ("B", True, False), ("D", False, False)]
)
def test_torchvision(net, batch_norm, legacy, tmp_path):
    state = torch_state(net, batch_norm)
    torch_save(state, tmp_path / "vgg.pth", legacy)
    source = weight_files.read(str(tmp_path / "vgg.pth"), net)
    model, transfer = model_of(source)
    assert (source.net, transfer.complete()) == (net, True)
    expected = [torch_forward(net, state, batch_norm, image) for image in images(224)]
    assert np.std(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(model(images(224)), expected, atol=1e-4)


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


# --- keras.applications computes itself.


def caffe(model, rgb):
    return model(keras.applications.vgg16.preprocess_input(rgb.copy()), training=False).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("net", "name"), [("D", "VGG16"), ("E", "VGG19")])
def test_keras_applications_with_top(net, name, tmp_path):
    keras.utils.set_random_seed(1)
    theirs = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=CLASSES)
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, rng.uniform(-0.2, 0.2, bias.shape)])
    last = theirs.get_layer("predictions")
    kernel, bias = last.get_weights()
    before = keras.Model(theirs.input, theirs.get_layer("fc2").output)
    scores = caffe(before, images(64)) @ kernel
    last.set_weights([kernel / scores.std(axis=0), bias - (scores / scores.std(axis=0)).mean(axis=0)])
    expected = caffe(theirs, images(64))
    assert expected.std(axis=0).max() > 1e-3
    theirs.save_weights(tmp_path / "new.weights.h5")
    theirs.save(tmp_path / "whole.h5")
    for file in ("new.weights.h5", "whole.h5"):
        source = weight_files.read(str(tmp_path / file), net)
        model, transfer = model_of(source)
        assert (source.net, source.input_size, transfer.complete()) == (net, 64, True)
        np.testing.assert_allclose(model(images(64)), expected, atol=1e-4)


@pytest.mark.real_data
def test_the_real_trunk_without_top(real_data, tmp_path):
    path = real_data / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    source = weight_files.read(str(path), "D")
    model, transfer = model_of(source)
    assert transfer.missing == ("fc6", "fc7", "fc8")
    with tarfile.open(real_data / "ilsvrc2012_mini" / "ILSVRC2012_img_val.tar") as tar:
        members = [member for member in tar if member.isfile()][:3]
        photos = [decoded(tar.extractfile(member).read()) for member in members]
    crops = np.stack([photo[:224, :224] for photo in photos if min(photo.shape[:2]) >= 224]).astype(np.float32)
    assert len(crops)
    theirs = keras.applications.VGG16(include_top=False, weights=str(path))
    ours = keras.Model(model.input, model.get_layer("block5_pool").output)
    expected = caffe(theirs, crops)
    np.testing.assert_allclose(ours(crops), expected, atol=1e-4 * expected.max())


def test_hdf5_that_cannot_be_used(tmp_path):
    with h5py.File(tmp_path / "nameless.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 64))
    with pytest.raises(UserError, match=r"nameless\.h5 cannot be read .*: it does not name its layers"):
        weight_files.read(str(tmp_path / "nameless.h5"), "D")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(UserError, match=r"text\.h5 is none of the kinds of files that are read"):
        weight_files.read(str(tmp_path / "text.h5"), "D")
    with pytest.raises(UserError, match=r"absent\.h5 is missing; give a \.keras file, a run's folder"):
        weight_files.read(str(tmp_path / "absent.h5"), "D")
    with pytest.raises(UserError, match=r"keras\.applications has nets D and E, not A"):
        weight_files.read("keras_applications", "A")


# --- KerasHub: the layout of its presets; NumPy computes, in PyTorch's way, what its converter and head compute.


def write_preset(folder, state, net, dense_head):
    """Writes a KerasHub preset of the state dict of a torchvision net."""
    folder.mkdir()
    convolutions = [name.removesuffix(".weight") for name in state if name.startswith("features") and "weight" in name]
    names = [f"block{block}_conv{place + 1}" for block, sizes in enumerate(NETS[net], 1) for place in range(len(sizes))]

    def add(file, path, name, arrays):
        group = file.create_group(f"{path}/vars")
        group.attrs["name"] = name
        for index, array in enumerate(arrays):
            group[str(index)] = array

    with h5py.File(folder / "model.weights.h5", "w") as file:
        for index, (torch_name, name) in enumerate(zip(convolutions, names, strict=True)):
            arrays = state[f"{torch_name}.weight"].transpose(2, 3, 1, 0), state[f"{torch_name}.bias"]
            add(file, f"layers/conv2d_{index}", name, arrays)
    with h5py.File(folder / "task.weights.h5", "w") as file:
        for place, name in ((0, "fc1"), (3, "fc2"), (6, "predictions")):
            kernel, bias = state[f"classifier.{place}.weight"], state[f"classifier.{place}.bias"]
            kernel = kernel.reshape(FC_WIDTH, WIDTHS[-1], 7, 7).transpose(2, 3, 1, 0) if place == 0 else kernel.T
            if dense_head:
                kernel = kernel.reshape(-1, kernel.shape[-1])
            elif place == 3:
                kernel = kernel[np.newaxis, np.newaxis]
            add(file, f"layers/sequential/layers/{name}", name, (kernel, bias))
        add(file, "optimizer", "adam", (np.zeros(3),))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    config = {"scale": (1 / (255 * std)).tolist(), "offset": (-mean / std).tolist()}
    (folder / "image_converter.json").write_text(json.dumps({"config": config}))


@pytest.mark.parametrize("dense_head", [False, True])
def test_kerashub(dense_head, tmp_path):
    state = torch_state("A", False, seed=4)
    write_preset(tmp_path / "preset", state, "A", dense_head)
    model, transfer = model_of(weight_files.read(str(tmp_path / "preset"), "A"))
    assert transfer.complete()
    expected = [torch_forward("A", state, False, image) for image in images(224)]
    np.testing.assert_allclose(model(images(224)), expected, atol=1e-4)
    (tmp_path / "preset" / "image_converter.json").unlink()
    with pytest.raises(UserError, match=r"image_converter\.json does not tell scale and offset of the images"):
        weight_files.read(str(tmp_path / "preset"), "A")


# --- our own.


def test_a_run_that_has_checkpoints_only(tmp_path):
    model = build("A", CLASSES, input_size=32, mean_rgb=(1, 2, 3), width_multiplier=1 / 16)
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    flags = {"net": "A", "input_size": 32, "batch_norm": False, "width_multiplier": 1 / 16}
    run_folder.start(tmp_path, flags, {}, {"num_classes": CLASSES, "mean_rgb": (1, 2, 3)})
    Checkpoints(tmp_path / "checkpoints", model, optimizer, Progress(Plateau(1))).save(Progress(Plateau(1)))
    source = weight_files.read(str(tmp_path), "A")
    assert (source.net, source.mean_rgb) == ("A", (1, 2, 3))
    for name, layer in weights.layers_with_weights(model).items():
        for received, expected in zip(source.layers[name], layer.get_weights(), strict=True):
            np.testing.assert_array_equal(received, expected)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds neither a model of a run nor"):
        weight_files.read(str(tmp_path / "empty"), "A")


def test_a_saved_model_of_ours_keeps_its_mean(tmp_path):
    model = build("A", CLASSES, input_size=32, mean_rgb=(1, 2, 3), width_multiplier=1 / 16)
    checkpoints.save_model(model, tmp_path / "a.keras")
    source = weight_files.read(str(tmp_path / "a.keras"), "A")
    again, transfer = model_of(source)
    assert transfer.complete()
    np.testing.assert_array_equal(again(images(32)), model(images(32)))


def test_convolutions_that_need_batch_normalisation(tmp_path):
    torch_save(torch_state("A", True), tmp_path / "bn.pth")
    source = weight_files.read(str(tmp_path / "bn.pth"), "A")
    with pytest.raises(UserError, match=r"bn\.pth has batch normalisation, which vgg_a lacks: build it with --b"):
        weights.copy(source, build("A", CLASSES, width_multiplier=1 / 16))


def test_strict(tmp_path):
    source = weights.of_model(build("A", 4, input_size=32, width_multiplier=1 / 16))
    target = build("A", 3, input_size=32, width_multiplier=1 / 16)
    with pytest.raises(UserError, match=r"--strict: vgg_a does not fit vgg_a\n.*\n.*differ: fc8 \(\(256, 4\), here"):
        weights.copy(source, target, strict=True)
