"""Imports packages that only some features need and that an extra of setup.cfg installs."""

import importlib
from collections.abc import Sequence
from types import ModuleType

from vgg_keras.utils.errors import UserError


def import_extra(names: Sequence[str], extra: str, feature: str, *, note: str = "") -> list[ModuleType]:
    """Imports the packages of an extra.

    Args:
        names: names of the modules, such as ["onnx", "onnxruntime"].
        extra: name of the extra in setup.cfg that installs them.
        feature: the feature that needs them, in the user's terms, such as "--format=onnx".
        note: text at the end of the error message.

    Returns:
        The modules, in the order of the names.

    Raises:
        UserError: a package is not installed; the message holds the command that installs it.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise UserError(
            f"{feature} needs more packages ({error}): pip install 'vgg_keras[{extra}]'{note and '; ' + note}"
        ) from error
