"""Finds out what kind of trained model a path is, and loads it."""

from pathlib import Path

from vgg_keras.api.exported_model import ExportedModel
from vgg_keras.api.keras_file_model import KerasFileModel
from vgg_keras.api.trained_model import TrainedModel
from vgg_keras.models import run_record
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
    found = Path(paths.expand(str(path), str(path)))
    if (found / export_record.MAIN_FILE).is_file():
        return ExportedModel(found)
    if found.is_dir() and not (found / run_record.BEST_MODEL).exists():
        if versions.numbers(found):
            return ExportedModel(versions.newest(found))
        raise UserError(f"{found} holds neither {run_record.BEST_MODEL} of a run nor versions of an exported model")
    if not found.exists():
        raise UserError(f"{found} does not exist{paths.similar_beside(found)}")
    return KerasFileModel(found)
