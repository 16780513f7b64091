"""Refuses Keras backends other than TensorFlow, before Keras is imported."""

import importlib.metadata
import os
import sys

from vgg_keras.utils.errors import UserError

_TENSORFLOW = "tensorflow"


def require_tensorflow() -> None:
    """Checks that Keras computes with TensorFlow, or will do so when it is imported; imports nothing.

    The nets use TensorFlow ops inside Keras layers, so no other backend of Keras 3 can run them. Keras 2 has no other.

    Raises:
        UserError: another backend is chosen.
    """
    keras = sys.modules.get("keras")
    if keras and hasattr(keras, "backend"):
        name, source = keras.backend.backend(), "Keras was imported with"
    elif _keras_generation() < 3:
        return
    else:
        name, source = os.environ.get("KERAS_BACKEND", _TENSORFLOW), "the environment variable KERAS_BACKEND is"
    if name != _TENSORFLOW:
        raise UserError(
            f"{source} {name}, but the nets of vgg_keras run on TensorFlow alone: set KERAS_BACKEND={_TENSORFLOW}, or "
            "unset it, before Python starts"
        )


def _keras_generation() -> int:
    try:
        return int(importlib.metadata.version("keras").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return 0  # the import of Keras says so
