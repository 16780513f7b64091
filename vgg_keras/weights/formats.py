"""Reads the weights of a VGG from the formats of other libraries, and converts them to the layout of `vgg.build`.

The formats differ in layer names, in the layout of kernels, in the mean and scale of the input, and in the order of its
channels. Scale and order are folded into the first convolution, and the mean becomes that of the net's first layer, so
that the result takes RGB 0..255 like every net of this package. What kind of file it is, its first bytes tell.
"""

import contextlib
import dataclasses
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from vgg_keras.models import checkpoint_files, class_outputs, metadata, preparation, run_record, saving, vgg
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.models.input_map import InputMap
from vgg_keras.utils import file_bounds, keras_compat
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import keras_hdf5, keras_models, safetensors, torch_pickle, torchvision
from vgg_keras.weights.assembly import CAFFE
from vgg_keras.weights.transfer import SourceWeights

# Value of --source that stands for the download of the nets that keras.applications publishes.
KERAS_APPLICATIONS = "keras_applications"
_DOWNLOADS = {"D": "VGG16", "E": "VGG19"}
_IMAGENET_CLASSES = 1000
# Endings that PyTorch's users give to files that torch.save writes; the last is what PyTorch's ImageNet example writes.
_TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")
# The file of weights in a folder of timm's nets on the Hugging Face Hub.
_HUB_FILE = "model.safetensors"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"


def read_weights(source: str, net: str, num_classes: int = _IMAGENET_CLASSES) -> SourceWeights:
    """Reads the weights of a model, in any of the known formats.

    Args:
        source: a `.keras` file, a run's folder (its best model, else its newest checkpoint), an HDF5 file of
            keras.applications, a state dict of torchvision or timm (of PyTorch or as safetensors), the folder of a
            KerasHub preset, or KERAS_APPLICATIONS.
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
            f"{path} is missing; give a .keras file, a run's folder, a .h5 file of keras.applications, a .pth or "
            f".safetensors file of torchvision or timm, the folder of a KerasHub preset, or {KERAS_APPLICATIONS}"
        )
    if h5py.is_hdf5(path):
        return keras_models.rename_keras_applications(keras_hdf5.read_layers(path), path.name, CAFFE)
    if _is_torch(path):
        return torchvision.read_layers(path.name, torch_pickle.read_state_dict(path))
    if path.suffix == ".safetensors" or safetensors.is_safetensors(path):
        return torchvision.read_layers(path.name, safetensors.read_tensors(path))
    raise UserError(
        f"{path} is none of the kinds of files that are read: .keras, HDF5, PyTorch's .pth, or .safetensors; it may be "
        "damaged, or an archive that has to be unpacked first"
    )


def _is_torch(path: Path) -> bool:
    """Returns whether torch.save wrote a file, as its content or else its name tells."""
    with path.open("rb") as file:
        if file.read(len(_LEGACY_TORCH)) == _LEGACY_TORCH:
            return True
    # A damaged zip raises errors of many kinds.
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())
    return path.name.endswith(_TORCH_SUFFIXES) and not safetensors.is_safetensors(path)


def _read_folder(folder: Path) -> SourceWeights:
    if (folder / run_record.BEST_MODEL).exists():
        return _from_file(folder / run_record.BEST_MODEL)
    if checkpoint_files.steps(folder / run_record.CHECKPOINTS):
        return _read_checkpoint(folder)
    if (folder / "model.weights.h5").exists():
        return _read_preset(folder)
    if (folder / _HUB_FILE).exists():
        return torchvision.read_layers(folder.name, safetensors.read_tensors(folder / _HUB_FILE))
    raise UserError(
        f"{folder} holds neither a model of a run nor model.weights.h5 of a KerasHub preset nor {_HUB_FILE} of timm"
    )


def _from_file(path: Path) -> SourceWeights:
    model = saving.load_model(path)
    source = keras_models.read_layers(model, str(path))
    if not vgg.begins_as_built(model):
        return source
    return dataclasses.replace(source, metadata=metadata.read(path, model.output_shape[-1]))


def _read_checkpoint(folder: Path) -> SourceWeights:
    """Reads the newest checkpoint of a run that has no best model yet.

    Raises:
        UserError: the run's record or the checkpoint is damaged.
    """
    record = run_record.read_record(folder)
    try:
        flags = record["flags"]
        kind = flags["box_regression"] if flags.get("task") == LOCALIZATION else None
        model = vgg.build(
            flags["net"],
            flags.get("num_outputs") or record["model"]["num_classes"],
            mean_rgb=record["model"]["mean_rgb"],
            input_scaling=flags.get("input_scaling", preparation.MEAN),  # earlier versions had no other
            box_regression=kind,
            **{name: flags[name] for name in ("input_size", "batch_norm", "width_multiplier")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / run_record.RECORD} does not describe a model: {error!r}") from error
    saving.restore_model(folder / run_record.CHECKPOINTS, model)
    if not kind:
        model = class_outputs.keep_first(model, record["model"]["num_classes"])
    described = metadata.read_beside(folder, record["model"]["num_classes"])
    described = dataclasses.replace(described, box_regression=kind or "")
    return dataclasses.replace(SourceWeights.from_model(model, str(folder)), metadata=described)


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
    return keras_models.read_layers(model, model.name)


def _read_preset(folder: Path) -> SourceWeights:
    """Reads a KerasHub preset: the backbone, the head if the preset has one, and the preprocessing.

    Raises:
        UserError: a file is missing or damaged, or the layers are not those of a net of the paper.
    """
    layers = keras_hdf5.read_layers(folder / "model.weights.h5", preprocessing_known=True)
    if (folder / "task.weights.h5").exists():
        layers |= keras_hdf5.read_layers(folder / "task.weights.h5", preprocessing_known=True)
    converter = folder / "image_converter.json"
    try:
        config = file_bounds.parse_json(converter.read_bytes())["config"]  # type: ignore[index]
        scale, offset = (np.broadcast_to(config[key], 3).astype(float) for key in ("scale", "offset"))
        if not np.isfinite([scale, offset, 1 / scale]).all():
            raise ValueError(f"scale {config['scale']}, offset {config['offset']}")
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise UserError(f"{converter} does not tell scale and offset of the images: {error!r}") from error
    return keras_models.rename_keras_applications(layers, folder.name, InputMap.of(-offset / scale, 1 / scale))
