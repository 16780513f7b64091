"""Names and transposes the layers of a VGG of torchvision or timm, under whatever name its user has put it."""

from collections.abc import Mapping, Sequence

import numpy as np

from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError
from vgg_keras.weights.assembly import FC_NAMES, TORCH, assemble, map_side
from vgg_keras.weights.transfer import SourceWeights

# Convolutions and dense layers have the first two, batch normalization has all.
_KINDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
# Names that PyTorch's own wrappers add: DataParallel and DistributedDataParallel, torch.compile, FSDP, checkpointing.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# The parts of a VGG; the last two are timm's.
_PARTS = ("features", "classifier", "pre_logits", "head")
_TIMM = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
Module = tuple[str, int]


def _plain_names(name: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes off what wrappers put before a net's names, and gives timm's layers the names of torchvision.

    Raises:
        UserError: an array belongs to no part of a VGG, or to a second net.
    """
    plain: dict[str, np.ndarray] = {}
    prefixes: dict[str, str] = {}
    for key, array in state.items():
        names = [part for part in key.split(".") if part not in _WRAPPERS]
        start = next((index for index, part in enumerate(names) if part in _PARTS), None)
        if start is None:
            raise UserError(
                f"{name}: {key} is not of a torchvision VGG, which has features.N and classifier.N; save these alone"
            )
        prefixes.setdefault(".".join(names[:start]), key)
        layer, _, kind = ".".join(names[start:]).rpartition(".")
        plain[f"{_TIMM.get(layer, layer)}.{kind}"] = array
    if len(prefixes) > 1 or len(plain) < len(state):
        raise UserError(f"{name} holds several nets, with {' and '.join(prefixes.values())}; save one of them alone")
    return plain


def _modules(name: str, state: Mapping[str, np.ndarray]) -> dict[Module, dict[str, np.ndarray]]:
    """Groups the arrays of a state dict by the module that they belong to, such as ("features", 3).

    Raises:
        UserError: an array does not belong to a VGG.
    """
    modules: dict[Module, dict[str, np.ndarray]] = {}
    for key, array in _plain_names(name, state).items():
        part, _, rest = key.partition(".")
        number_text, _, kind = rest.partition(".")
        number = parse_whole(number_text)
        if number is None or kind not in _KINDS:
            raise UserError(
                f"{name}: {key} is not of a torchvision VGG, which has features.N and classifier.N; rename it so"
            )
        modules.setdefault((part, number), {})[kind] = array
    return modules


def read_layers(name: str, state: Mapping[str, np.ndarray]) -> SourceWeights:
    """Converts a state dict: `features`, with pools between blocks, and `classifier`.

    Args:
        name: name of the file in messages.
        state: {name: array}, in PyTorch's layout.

    Raises:
        UserError: an array is missing, has a wrong shape, or does not belong to a VGG of the paper.
    """
    modules = _modules(name, state)

    def arrays_of(module: Module, kinds: Sequence[str] = _KINDS[:2]) -> list[np.ndarray]:
        for kind in kinds:
            if kind not in modules[module]:
                raise UserError(f"{name} lacks {module[0]}.{module[1]}.{kind}, which a VGG of torchvision has")
        return [modules[module][kind] for kind in kinds]

    trunk: dict[str, list[np.ndarray]] = {}
    block, position, expected, layer = 1, 0, 0, ""
    for part, index in sorted(key for key in modules if key[0] == "features"):
        kernel, bias = arrays_of((part, index))
        if kernel.ndim == 4:
            # A gap in the indices is a pool, after which a new block begins.
            block, position = (block + 1, 1) if index > expected else (block, position + 1)
            layer = f"block{block}_conv{position}"
            trunk[layer] = [kernel.transpose(2, 3, 1, 0), bias]
        else:
            trunk[f"{layer}_bn"] = arrays_of((part, index), _KINDS[:4])
        expected = index + 2
    dense = sorted(key for key in modules if key[0] != "features")
    # Further dense layers keep torchvision's names, so that the transfer reports them as unexpected.
    names = [*FC_NAMES, *(f"{part}.{index}" for part, index in dense[len(FC_NAMES) :])]
    head = {fc: [_flat(array).T for array in arrays_of(key)] for fc, key in zip(names, dense, strict=False)}
    if "fc6" in head and layer:
        head["fc6"][0] = _rows_first(name, head["fc6"][0], trunk[layer][0].shape[-1])
    return assemble(name, trunk, head, TORCH)


def _flat(array: np.ndarray) -> np.ndarray:
    """Reshapes the kernel of a convolution over its whole input, timm's form of FC6, to a dense layer's."""
    return array.reshape(len(array), -1) if array.ndim == 4 and array.size else array


def _rows_first(name: str, kernel: np.ndarray, channels: int) -> np.ndarray:
    """Reorders FC6's inputs from channel, row, column (PyTorch's order) to row, column, channel."""
    side = map_side(name, kernel, channels)
    return kernel.reshape(channels, side, side, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)
