"""Packages that only one feature needs, which an extra of setup.cfg installs."""

import importlib
from collections.abc import Sequence
from types import ModuleType

from vgg_keras.utils.cli import UserError


def import_extra(names: Sequence[str], extra: str, feature: str, *, note: str = "") -> list[ModuleType]:
    """Imports the packages of an extra.

    Args:
        names: the modules, such as ["onnx", "onnxruntime"].
        extra: the extra of setup.cfg that installs them.
        feature: what needs them, as the user asked for it: "--format=onnx".
        note: a sentence that the error ends with.

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
