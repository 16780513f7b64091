"""Reads the weights of a VGG from the formats of other libraries, and converts them to the layout of `vgg.build`.

The formats differ in layer names, in the layout of kernels, in the mean and scale of the input, and in the order of its
channels. Scale and order are folded into the first convolution, and the mean becomes that of the net's first layer, so
that the result takes RGB 0..255 like every net of this package.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import keras
import numpy as np

from vgg_keras.data import imagenet
from vgg_keras.models import architectures, checkpoint_files, metadata, run_record, saving, vgg
from vgg_keras.models.architectures import NETS
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import keras_hdf5
from vgg_keras.weights.torch_pickle import read_state_dict
from vgg_keras.weights.transfer import SourceWeights

# Value of --source that stands for the download of the nets that keras.applications publishes.
KERAS_APPLICATIONS = "keras_applications"
_DOWNLOADS = {"D": "VGG16", "E": "VGG19"}
_IMAGENET_CLASSES = 1000
_FC_NAMES = ("fc6", "fc7", "fc8")
# Convolutions and dense layers have the first two, batch normalisation has all.
_TORCH_KINDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_TORCH_SUFFIXES = (".pth", ".pt", ".bin")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that a model expects of its input: (RGB 0..255 - mean) / std, in RGB or BGR order.

    Attributes:
        mean: mean of red, green and blue, 0..255.
        std: divisor of red, green and blue, on the same scale.
        reverse: whether the order of the channels is blue, green, red.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    reverse: bool = False

    def fold(self, kernel: np.ndarray) -> np.ndarray:
        """Folds `std` and `reverse` into the first convolution's kernel, so that only `mean` is left to subtract.

        Args:
            kernel: (k, k, 3, out), for input preprocessed in this way.

        Returns:
            (k, k, 3, out) float32, for input in RGB order from which the mean was subtracted.
        """
        kernel = kernel[:, :, ::-1] if self.reverse else kernel
        return (kernel / np.array(self.std)[:, np.newaxis]).astype(np.float32)


# The preprocessing of Caffe, in which the authors published their nets.
CAFFE = Preprocessing(architectures.IMAGENET_MEAN_RGB, reverse=True)
# The preprocessing of torchvision, which scales images to 0..1 and then normalises them.
TORCH = Preprocessing(
    tuple(255 * mean for mean in (0.485, 0.456, 0.406)), tuple(255 * std for std in (0.229, 0.224, 0.225))
)


def read_weights(source: str, net: str, num_classes: int = _IMAGENET_CLASSES) -> SourceWeights:
    """Reads the weights of a model, in any of the known formats.

    Args:
        source: a `.keras` file, a run's folder (its best model, else its newest checkpoint), an HDF5 file of
            keras.applications, a state dict of torchvision, the folder of a KerasHub preset, or KERAS_APPLICATIONS.
        net: key of `architectures.NETS`, which selects the model that KERAS_APPLICATIONS downloads.
        num_classes: number of classes that the weights are for. KERAS_APPLICATIONS downloads the FC layers only for
            the 1000 of ImageNet, since they are nine tenths of the file; for another number, the convolutions alone.

    Raises:
        UserError: the source is missing, damaged, of an unknown format, or not a net of the paper; or the download
            failed.
    """
    if source == KERAS_APPLICATIONS:
        return _download(net, with_fc_layers=num_classes == _IMAGENET_CLASSES)
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix == ".keras":
        return _from_file(path)
    if not path.exists():
        raise UserError(
            f"{path} is missing; give a .keras file, a run's folder, a .h5 file of keras.applications, a .pth file of "
            f"torchvision, the folder of a KerasHub preset, or {KERAS_APPLICATIONS}"
        )
    if path.suffix in _TORCH_SUFFIXES:
        return _from_torch(path.name, read_state_dict(path))
    if h5py.is_hdf5(path):
        return _from_keras_layers(path.name, keras_hdf5.read_layers(path), CAFFE)
    raise UserError(f"{path} is none of the kinds of files that are read: .keras, HDF5, or PyTorch's .pth")


def _read_folder(folder: Path) -> SourceWeights:
    if (folder / run_record.BEST_MODEL).exists():
        return _from_file(folder / run_record.BEST_MODEL)
    if checkpoint_files.steps(folder / run_record.CHECKPOINTS):
        return _read_checkpoint(folder)
    if (folder / "model.weights.h5").exists():
        return _read_preset(folder)
    raise UserError(f"{folder} holds neither a model of a run nor model.weights.h5 of a KerasHub preset")


def _from_file(path: Path) -> SourceWeights:
    model = saving.load_model(path)
    source = _from_model(model)
    if vgg.is_keras_applications_vgg(model):
        return source
    return dataclasses.replace(source, metadata=metadata.read(path, model.output_shape[-1]))


def _from_model(model: keras.Model) -> SourceWeights:
    source = SourceWeights.from_model(model)
    return _from_keras_layers(model.name, source.layers, CAFFE) if vgg.is_keras_applications_vgg(model) else source


def _read_checkpoint(folder: Path) -> SourceWeights:
    """Reads the newest checkpoint of a run that has no best model yet.

    Raises:
        UserError: the run's record or the checkpoint is damaged.
    """
    record = run_record.read_record(folder)
    try:
        flags = record["flags"]
        model = vgg.build(
            flags["net"],
            record["model"]["num_classes"],
            mean_rgb=record["model"]["mean_rgb"],
            **{name: flags[name] for name in ("input_size", "batch_norm", "width_multiplier")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / run_record.RECORD} does not describe a model: {error!r}") from error
    saving.restore_model(folder / run_record.CHECKPOINTS, model)
    described = metadata.read_beside(folder, record["model"]["num_classes"])
    return dataclasses.replace(SourceWeights.from_model(model), metadata=described)


@keras_compat.own_settings()
def _download(net: str, *, with_fc_layers: bool) -> SourceWeights:
    """Downloads a net of keras.applications, or takes it from Keras's cache: 553 MB (D), or 59 MB without FC layers.

    Raises:
        UserError: keras.applications does not have the net, or the download failed.
    """
    if net not in _DOWNLOADS:
        raise UserError(f"keras.applications has nets {' and '.join(_DOWNLOADS)}, not {net}")
    try:
        model = getattr(keras.applications, _DOWNLOADS[net])(weights="imagenet", include_top=with_fc_layers)
    except Exception as error:  # errors of the network and of the file system
        raise UserError(
            f"keras.applications' {_DOWNLOADS[net]} cannot be downloaded: {error}; "
            f"in place of {KERAS_APPLICATIONS}, give a file of its weights that was fetched elsewhere"
        ) from error
    return _from_model(model)


def _read_preset(folder: Path) -> SourceWeights:
    """Reads a KerasHub preset: the backbone, the head if the preset has one, and the preprocessing.

    Raises:
        UserError: a file is missing or damaged, or the layers are not those of a net of the paper.
    """
    layers = keras_hdf5.read_layers(folder / "model.weights.h5")
    if (folder / "task.weights.h5").exists():
        layers |= keras_hdf5.read_layers(folder / "task.weights.h5")
    converter = folder / "image_converter.json"
    try:
        config = json.loads(converter.read_text(encoding="utf-8"))["config"]
        scale, offset = (np.broadcast_to(config[key], 3).astype(float) for key in ("scale", "offset"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{converter} does not tell scale and offset of the images: {error!r}") from error
    preprocessing = Preprocessing(tuple((-offset / scale).tolist()), tuple((1 / scale).tolist()))
    return _from_keras_layers(folder.name, layers, preprocessing)


def _from_keras_layers(
    name: str, layers: Mapping[str, Sequence[np.ndarray]], preprocessing: Preprocessing
) -> SourceWeights:
    """Renames and sorts the layers of keras.applications or KerasHub: block1_conv1, ..., fc1, fc2, predictions."""
    ours = dict(zip(("fc1", "fc2", "predictions"), _FC_NAMES, strict=True))
    renamed = {ours.get(layer, layer): list(arrays) for layer, arrays in layers.items()}
    trunk = {layer: arrays for layer, arrays in sorted(renamed.items()) if layer.startswith("block")}
    # Some heads consist of convolutions, those of `vgg.build` of dense layers.
    rest = {
        layer: [_as_dense(array) for array in arrays] if layer in _FC_NAMES else arrays
        for layer, arrays in renamed.items()
        if layer not in trunk
    }
    return _assemble(name, trunk, rest, preprocessing)


def _as_dense(array: np.ndarray) -> np.ndarray:
    """Reshapes the kernel of a convolution over its whole input to a dense layer's; returns other arrays unchanged."""
    return array.reshape(-1, array.shape[-1]) if array.ndim == 4 else array


def _from_torch(name: str, state: Mapping[str, np.ndarray]) -> SourceWeights:
    """Names and transposes the layers of torchvision's VGG: `features`, with pools between blocks, and `classifier`."""
    modules: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    for key, array in state.items():
        part, _, rest = key.removeprefix("module.").partition(".")
        number, _, kind = rest.partition(".")
        if part not in ("features", "classifier") or not number.isdigit() or kind not in _TORCH_KINDS:
            raise UserError(f"{name}: {key} is not of a torchvision VGG, which has features.N and classifier.N")
        modules.setdefault((part, int(number)), {})[kind] = array

    def module_arrays(part: str, index: int, kinds: Sequence[str] = ("weight", "bias")) -> list[np.ndarray]:
        for kind in kinds:
            if kind not in modules[part, index]:
                raise UserError(f"{name} lacks {part}.{index}.{kind}, which a VGG of torchvision has")
        return [modules[part, index][kind] for kind in kinds]

    trunk: dict[str, list[np.ndarray]] = {}
    block, position, expected, layer = 1, 0, 0, ""
    for part, index in sorted(key for key in modules if key[0] == "features"):
        kernel, bias = module_arrays(part, index)
        if kernel.ndim == 4:
            # A gap in the indices is a pool, after which a new block begins.
            block, position = (block + 1, 1) if index > expected else (block, position + 1)
            layer = f"block{block}_conv{position}"
            trunk[layer] = [kernel.transpose(2, 3, 1, 0), bias]
        else:
            trunk[f"{layer}_bn"] = module_arrays(part, index, _TORCH_KINDS[:4])
        expected = index + 2
    dense = sorted(key for key in modules if key[0] == "classifier")
    # Further dense layers keep torchvision's names, so that the transfer reports them as unexpected.
    names = [*_FC_NAMES, *(f"{part}.{index}" for part, index in dense[len(_FC_NAMES) :])]
    head = {fc: [array.T for array in module_arrays(*key)] for fc, key in zip(names, dense, strict=False)}
    if "fc6" in head and layer:
        head["fc6"][0] = _rows_first(name, head["fc6"][0], trunk[layer][0].shape[-1])
    return _assemble(name, trunk, head, TORCH)


def _rows_first(name: str, kernel: np.ndarray, channels: int) -> np.ndarray:
    """Reorders FC6's inputs from channel, row, column (PyTorch's order) to row, column, channel."""
    side = _map_side(name, kernel, channels)
    return kernel.reshape(channels, side, side, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)


def _map_side(name: str, fc6: np.ndarray, channels: int) -> int:
    """Returns the side of the square map that FC6's kernel, (side * side * channels, out), is applied to.

    Raises:
        UserError: the kernel fits no square map.
    """
    side = math.isqrt(len(fc6) // channels) if fc6.ndim == 2 and channels else 0
    if not side or len(fc6) != side * side * channels:
        raise UserError(f"{name}: FC6's kernel {fc6.shape} looks at no square map of {channels} channels")
    return side


def _assemble(
    name: str,
    trunk: Mapping[str, Sequence[np.ndarray]],
    rest: Mapping[str, Sequence[np.ndarray]],
    preprocessing: Preprocessing,
) -> SourceWeights:
    """Recognises the net by its convolutions, and folds the preprocessing into the first one.

    Raises:
        UserError: the convolutions are not those of a net of the paper, their input does not have 3 channels, or FC6
            does not fit them.
    """
    convolutions = {layer: arrays for layer, arrays in trunk.items() if "_conv" in layer and layer.count("_") == 1}
    for layer, arrays in convolutions.items():
        if [array.ndim for array in arrays] != [4, 1]:
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise UserError(f"{name}: {layer} is no kernel and bias of a convolution; its shapes are {shapes}")
    blocks = itertools.groupby(convolutions, key=lambda layer: layer.partition("_")[0])
    kernel_sizes = tuple(tuple(convolutions[layer][0].shape[0] for layer in block) for _, block in blocks)
    net = next((net for net, sizes in NETS.items() if tuple(map(tuple, sizes)) == kernel_sizes), None)
    if net is None:
        raise UserError(f"{name} is no net of the paper; its kernels, block by block: {kernel_sizes}")
    layers = {**trunk, **rest}
    first, (kernel, *others) = next(iter(convolutions.items()))
    if kernel.shape[2] != 3:
        raise UserError(f"{name} takes {kernel.shape[2]} channels where the nets here take red, green and blue")
    layers[first] = [preprocessing.fold(kernel), *others]
    input_size = None
    if "fc6" in layers:
        last_channels = convolutions[f"block5_conv{len(kernel_sizes[-1])}"][0].shape[-1]
        input_size = architectures.TOTAL_STRIDE * _map_side(name, layers["fc6"][0], last_channels)
    return SourceWeights(name, net, layers, preprocessing.mean, input_size, _imagenet_metadata(net, layers))


def _imagenet_metadata(net: str, layers: Mapping[str, Sequence[np.ndarray]]) -> ModelMetadata:
    """Returns the names of ImageNet's classes if there are 1,000: all libraries publish them in the same order."""
    num_classes = layers["fc8"][0].shape[-1] if "fc8" in layers else 0
    if num_classes != len(imagenet.label_names()):
        return ModelMetadata(net=net)
    class_names = [synset for synset, _ in imagenet.synsets()]
    return ModelMetadata(net=net, class_names=class_names, label_names=imagenet.label_names())
