"""Builds, trains, tests and serves the nets of VGG (arXiv:1409.1556) in TensorFlow and Keras.

    import vgg_keras as vgg

    net = vgg.build("D", num_classes=10)              # a plain Keras model
    model = vgg.load("runs/quickstart")               # a trained one
    model.classify("photo.jpg")

Importing the package loads neither TensorFlow nor Keras; they are loaded when one of its functions is first used.
"""

# First, so that a verb that is asked to stop while the rest is loaded ends with one line.
from vgg_keras.utils import early_signals  # noqa: F401

# isort: split

import importlib
import os
from typing import TYPE_CHECKING, Any

from vgg_keras.utils.errors import UserError
from vgg_keras.version import __version__

if TYPE_CHECKING:
    from vgg_keras.api.functions import evaluate_model, export_model, train_model
    from vgg_keras.api.loading import is_localizer, load, load_localizer, read_photo
    from vgg_keras.api.nets import build, vgg11, vgg13, vgg16, vgg19
    from vgg_keras.api.trained_localizer import TrainedLocalizer
    from vgg_keras.api.trained_model import TrainedModel
    from vgg_keras.data.datasets import open_data

# Keras and TensorFlow read these when they are first imported. The first takes precedence over the backend in
# keras.json; `utils.keras_backend` refuses another one. Without the log level, TensorFlow's start-up messages would
# fill a page before the output of every verb.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Module of each name that is imported when it is first used.
_LAZY = {
    "build": "vgg_keras.api.nets",
    "vgg11": "vgg_keras.api.nets",
    "vgg13": "vgg_keras.api.nets",
    "vgg16": "vgg_keras.api.nets",
    "vgg19": "vgg_keras.api.nets",
    "load": "vgg_keras.api.loading",
    "TrainedModel": "vgg_keras.api.trained_model",
    "load_localizer": "vgg_keras.api.loading",
    "TrainedLocalizer": "vgg_keras.api.trained_localizer",
    "is_localizer": "vgg_keras.api.loading",
    "read_photo": "vgg_keras.api.loading",
    "open_data": "vgg_keras.data.datasets",
    "train_model": "vgg_keras.api.functions",
    "evaluate_model": "vgg_keras.api.functions",
    "export_model": "vgg_keras.api.functions",
}

__all__ = [
    "TrainedLocalizer",
    "TrainedModel",
    "UserError",
    "__version__",
    "build",
    "evaluate_model",
    "export_model",
    "is_localizer",
    "load",
    "load_localizer",
    "open_data",
    "read_photo",
    "train_model",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vgg_keras.utils.cli import loading_libraries

    with loading_libraries():
        value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
