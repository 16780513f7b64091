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
from typing import Any

from vgg_keras.models import box_regression, run_record
from vgg_keras.models.architectures import BOX_REGRESSIONS
from vgg_keras.models.preparation import RESIZES
from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.structures import TEXT, Maybe, either, one_of

_MEMBER, _KEY = "metadata.json", "vgg_keras"
_WAY_OUT = "restore the file from a copy, or write the model again"
_STRUCTURE = {
    _KEY: Maybe(
        {
            "net": Maybe(TEXT),
            "train_scale": Maybe(either(run_record.TRAIN_SCALE, one_of(""))),
            "class_names": Maybe([TEXT]),
            "label_names": Maybe([TEXT]),
            "frozen_up_to": Maybe(TEXT),
            "box_regression": Maybe(one_of("", *BOX_REGRESSIONS)),
            "validation_resize": Maybe(one_of("", *RESIZES)),
        }
    )
}


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What prediction needs to know of a model besides its weights.

    Attributes:
        net: key of `architectures.NETS`, or "" if unknown.
        train_scale: training scale S in pixels, the smallest side: "256", or "256,512" for any scale in between; "" if
            unknown.
        class_names: unique names of the classes in the order of their indices; empty if unknown.
        label_names: human-readable names in the same order; empty if unknown.
        frozen_up_to: the last layer that was not trained; "" if all were, or if it is unknown.
        box_regression: SCR or PCR if the model predicts boxes; "" if it predicts classes.
        validation_resize: one of `preparation.RESIZES`, how photos were resized when the model was validated; "" if it
            is unknown.
    """

    net: str = ""
    train_scale: str = ""
    class_names: Sequence[str] = ()
    label_names: Sequence[str] = ()
    frozen_up_to: str = ""
    box_regression: str = ""
    validation_resize: str = ""

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


def read(path: Path, num_outputs: int | None) -> ModelMetadata:
    """Reads the metadata of a `.keras` file, or from the files of the run in the same folder.

    Args:
        path: the file.
        num_outputs: number of the model's outputs: scores of classes, or sides of boxes; None if it is not known.

    Raises:
        UserError: the metadata or a file of the run is damaged, or does not name each class.
    """
    content = _read_member(path)
    if _KEY not in content:
        return ModelMetadata() if num_outputs is None else read_beside(path.parent, num_outputs)
    known = {field.name for field in dataclasses.fields(ModelMetadata)}  # later versions may write further ones
    metadata = ModelMetadata(**{name: value for name, value in content[_KEY].items() if name in known})
    num_classes = None if num_outputs is None else box_regression.num_classes(metadata.box_regression, num_outputs)
    for name in ("label_names", "class_names"):
        names = getattr(metadata, name)
        if names and num_classes is not None and len(names) != num_classes:
            raise UserError(f"{path} names {len(names)} classes, the model has {num_classes} ({name}); {_WAY_OUT}")
    if len(set(metadata.class_names)) < len(metadata.class_names):
        raise side_files.damaged(path, "class_names holds a name twice", _WAY_OUT)
    return metadata


def _read_member(path: Path) -> dict[str, Any]:
    """Returns the member that Keras keeps its own metadata in.

    Raises:
        UserError: it is missing or damaged, or the metadata in it is.
    """
    try:
        with zipfile.ZipFile(path) as file:
            text = file.read(_MEMBER).decode()
    except Exception as error:  # zipfile and zlib raise many kinds of errors
        raise side_files.damaged(path, f"its {_MEMBER} cannot be read ({error})", _WAY_OUT) from error
    return side_files.parse_json(text, _STRUCTURE, f"{path}, in its metadata,", _WAY_OUT)


def read_beside(folder: Path, num_classes: int) -> ModelMetadata:
    """Reads the metadata of a model from the files of its run; what a missing file would tell is left empty.

    Args:
        folder: the run's folder.
        num_classes: number of the model's classes.

    Raises:
        UserError: a file is damaged, or does not name each class.
    """
    return ModelMetadata(
        train_scale=run_record.read_train_scale(folder),
        class_names=run_record.read_class_names(folder, num_classes),
        label_names=run_record.read_label_names(folder, num_classes),
    )
