"""Keeps what prediction needs to know of a model inside its `.keras` file: net, training scale, class names.

A `.keras` file is a zip whose member `metadata.json` holds the Keras version and the date. This package adds one key to
it, which Keras ignores, so that a file that is copied alone still knows its labels. Files without the key, made by
earlier versions or by others, take them from the files of the run in the same folder, if there is one.
"""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.data.labels import CLASS_INDICES
from vgg_keras.models import run_record
from vgg_keras.utils.errors import UserError

_MEMBER, _KEY = "metadata.json", "vgg_keras"


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What prediction needs to know of a model besides its weights.

    Attributes:
        net: key of `architectures.NETS`, or "" if unknown.
        train_scale: training scale S in pixels, the smallest side: "256", or "256,512" for any scale in between; "" if
            unknown.
        class_names: unique names of the classes in the order of their indices; empty if unknown.
        label_names: human-readable names in the same order; empty if unknown.
    """

    net: str = ""
    train_scale: str = ""
    class_names: Sequence[str] = ()
    label_names: Sequence[str] = ()

    def known_label_names(self, num_classes: int) -> list[str]:
        """Returns the label names; if they are unknown, "class 0", "class 1", ..."""
        return list(self.label_names) or [f"class {index}" for index in range(num_classes)]


def embed(path: Path, metadata: ModelMetadata) -> None:
    """Writes metadata into a `.keras` file, without copying its weights.

    Args:
        path: the file; not one that others may be reading.
        metadata: the metadata.
    """
    with zipfile.ZipFile(path, "a") as file:
        member = file.getinfo(_MEMBER)
        content = {**json.loads(file.read(member)), _KEY: dataclasses.asdict(metadata)}
        # A new member is appended, and the old one leaves the directory of the zip, which is written last.
        file.filelist.remove(member)
        del file.NameToInfo[_MEMBER]
        file.writestr(_MEMBER, json.dumps(content))


def read(path: Path, num_classes: int) -> ModelMetadata:
    """Reads the metadata of a `.keras` file, or from the files of the run in the same folder.

    Args:
        path: the file.
        num_classes: number of the model's classes.

    Raises:
        UserError: the metadata or a file of the run is damaged, or does not name each class.
    """
    with zipfile.ZipFile(path) as file:
        content = json.loads(file.read(_MEMBER))
    own = content.get(_KEY) if isinstance(content, dict) else None
    if own is None:
        return read_beside(path.parent, num_classes)
    metadata = _checked(own, path)
    if metadata.label_names and len(metadata.label_names) != num_classes:
        raise UserError(f"{path} names {len(metadata.label_names)} classes, the model has {num_classes}")
    return metadata


def read_beside(folder: Path, num_classes: int) -> ModelMetadata:
    """Reads the metadata of a model from the files of its run; what a missing file would tell is left empty.

    Args:
        folder: the run's folder.
        num_classes: number of the model's classes.

    Raises:
        UserError: a file is damaged, or does not name each class.
    """
    indices_file = folder / CLASS_INDICES
    indices = json.loads(indices_file.read_text(encoding="utf-8")) if indices_file.exists() else {}
    return ModelMetadata(
        train_scale=run_record.read_train_scale(folder),
        class_names=sorted(indices, key=lambda name: indices[name]),
        label_names=run_record.read_label_names(folder, num_classes),
    )


def _checked(own: object, path: Path) -> ModelMetadata:
    """Returns the metadata in a file; keys of newer versions are left out."""
    if not isinstance(own, dict):
        raise UserError(f"{path}: its metadata is damaged: {own!r}")
    names = {field.name for field in dataclasses.fields(ModelMetadata)}
    known = {name: value for name, value in own.items() if name in names}
    for name, value in known.items():
        is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not (is_list if name.endswith("_names") else isinstance(value, str)):
            raise UserError(f"{path}: its metadata is damaged: {name} is {value!r}")
    if not all(side.isdigit() for side in known.get("train_scale", "").split(",") if side):
        raise UserError(f"{path}: its metadata is damaged: train_scale is {known['train_scale']!r}")
    return ModelMetadata(**known)
