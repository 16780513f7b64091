"""Finds out what kind of trained model a path is, and loads it; loads localizers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vgg_keras.api.exported_model import ExportedModel
from vgg_keras.api.keras_file_model import KerasFileModel
from vgg_keras.api.trained_localizer import TrainedLocalizer
from vgg_keras.api.trained_model import TrainedModel, scales_text
from vgg_keras.inference import image_inputs
from vgg_keras.inference.image_inputs import ImageInput
from vgg_keras.models import metadata, run_record, saving
from vgg_keras.serving import export_record, versions
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import PathLike


def load(path: PathLike) -> TrainedModel:
    """Loads a trained model.

    >>> import vgg_keras as vgg
    >>> vgg.load("runs/drawn").labels
    ['daisy', 'dandelion', 'rose', 'sunflower', 'tulip']

    Args:
        path: a run's folder, whose best model is loaded; a `.keras` file; or an exported SavedModel, the folder of its
            versions (the newest is loaded) or of one version.

    Raises:
        UserError: there is no such model, or it cannot be read.
    """
    found = _expanded(path)
    if (found / export_record.MAIN_FILE).is_file():
        return ExportedModel(found)
    if found.is_dir() and not (found / run_record.BEST_MODEL).exists():
        if versions.numbers(found):
            return ExportedModel(versions.newest(found))
        raise UserError(f"{found} holds neither {run_record.BEST_MODEL} of a run nor versions of an exported model")
    return KerasFileModel(_existing(found))


def load_localizer(
    path: PathLike, *, classifier: PathLike | None = None, test_scales: str | int | Sequence[int] = ""
) -> TrainedLocalizer:
    """Loads a trained localizer, a net that `train_model(task="localization", ...)` made.

    >>> import vgg_keras as vgg
    >>> trained = vgg.train_model(
    ...     task="localization", data_dir="runs/drawn/data", init_from="runs/drawn", output_dir="runs/drawn_boxes",
    ...     net="A", width_multiplier=1 / 16, input_size=32, train_scale="36", batch_size=25, epochs=1)
    >>> vgg.load_localizer("runs/drawn_boxes").labels
    ['daisy', 'dandelion', 'rose', 'sunflower', 'tulip']

    Args:
        path: a run's folder, whose best model is loaded, or a `.keras` file.
        classifier: the same of a net that was trained to tell the classes, by which `find` chooses them; None: the
            localizer cannot `find` objects, and tells the `box` of one whose class is known.
        test_scales: test scales Q, the smaller sides in pixels to which photos are rescaled: 256 or (256, 288);
            "single" or "multi": those of the paper for the localizer's training scale; "" means "single".

    Raises:
        UserError: a model is missing, damaged or of the wrong kind, or the two do not fit together.
    """
    chooser = None if classifier is None else _existing(_expanded(classifier))
    return TrainedLocalizer(_existing(_expanded(path)), chooser, scales_text(test_scales))


def is_localizer(path: PathLike) -> bool:
    """Returns whether a run or a `.keras` file predicts boxes, so that `load_localizer` loads it, and not `load`.

    >>> import vgg_keras as vgg
    >>> vgg.is_localizer("runs/drawn_boxes"), vgg.is_localizer("runs/drawn")
    (True, False)

    Args:
        path: a run's folder, a `.keras` file or an exported SavedModel, which is no localizer.

    Raises:
        UserError: there is no such file or folder, or the file is damaged.
    """
    found = _existing(_expanded(path))
    file = found / run_record.BEST_MODEL if found.is_dir() else found
    if found.is_dir() and not file.exists():
        return False
    saving.require_model_file(file)
    return bool(metadata.read(file, None).box_regression)


def read_photo(image: ImageInput) -> np.ndarray:
    """Reads a photo as the models see it: upright and as RGB.

    >>> import vgg_keras as vgg
    >>> vgg.read_photo("runs/drawn/samples/0.jpg").shape[2]
    3

    Args:
        image: the photo, in any form that `TrainedModel.classify` takes.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UserError: the photo cannot be read.
    """
    return image_inputs.single(image).pixels


def _expanded(path: PathLike) -> Path:
    return Path(paths.expand(str(path), str(path)))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path} does not exist{paths.similar_beside(path)}")
    return path
