"""Imitates torchvision's VGG without PyTorch: makes state dicts, writes them as torch.save does, computes outputs.

NumPy computes in PyTorch's layout, (C, H, W) and (out, in, k, k).
"""

import collections
import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

from vgg_keras.models.architectures import NETS

WIDTHS = (4, 8, 16, 32, 32)
CLASSES, FC_WIDTH = 5, 256  # a sixteenth of the paper's width, as in the trunk


def random(rng, *shape):
    return (rng.normal(size=shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)


def torch_state(net, batch_norm, seed=0):
    """Returns a state dict of random numbers, with torchvision's names and order."""
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
    """Computes the posteriors of one image: (H, W, 3) RGB 0..255 -> (classes,)."""
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
    """An array that pickles as a tensor of PyTorch does; `view` tells another offset, size and stride than its own."""

    def __init__(self, array, view=None):
        self.array = array
        strides = tuple(step // array.itemsize for step in array.strides)
        self.view = view or (0, array.shape, strides)

    def __reduce__(self):
        torch = sys.modules["torch"]
        name = {"float32": "FloatStorage", "int64": "LongStorage"}[self.array.dtype.name]
        storage = torch.Storage(getattr(torch, name), self.array)
        arguments = (storage, *self.view, False, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


@contextlib.contextmanager
def stub_torch():
    """Puts stubs of PyTorch's modules into `sys.modules`, so that pickles refer to them; yields that of `torch`."""
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


def torch_save(content, path, legacy=False, checkpoint=lambda state: state):
    """Writes a state dict as torch.save does: as a zip, or in the legacy format before PyTorch 1.6.

    Args:
        content: {name: array or Tensor}.
        path: the file.
        legacy: whether to write the format before PyTorch 1.6.
        checkpoint: function that returns what is written, given the state dict.
    """
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

        made = ((name, one if isinstance(one, Tensor) else Tensor(one)) for name, one in content.items())
        tensors = checkpoint(collections.OrderedDict(made))
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


def images(size):
    """Returns three noisy images of different colours: (3, size, size, 3) float32, RGB 0..255."""
    rng = np.random.default_rng(3)
    return (rng.uniform(0, 1, (3, size, size, 3)) * rng.uniform(50, 255, (3, 1, 1, 3))).astype(np.float32)
