"""Lists the verbs of the project, without importing them and TensorFlow with them."""

import ast
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.utils.errors import near_name

VERBS = {
    "data_prep": ("flowers", "imagenet", "image_folder", "voc", "verify"),
    "vgg_keras": (
        "train",
        "evaluate",
        "report",
        "reproduce",
        "predict",
        "features",
        "pretrained",
        "export",
        "serve_check",
        "data_service",
        "demo",
    ),
}


def summary(module: str) -> str:
    """Returns the first line of a verb's docstring.

    Args:
        module: dotted name of the verb's module.
    """
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def listing(packages: Sequence[str] = tuple(VERBS)) -> str:
    """Returns a text with a line for each verb: its name and its summary.

    Args:
        packages: the packages whose verbs are listed, keys of VERBS.
    """
    modules = [f"{package}.{verb}" for package in packages for verb in VERBS[package]]
    return "\n".join(["python -m VERB [flags]", "", *(f"  {module:<23} {summary(module)}" for module in modules)])


def run(package: str, packages: Sequence[str]) -> None:
    """Prints the list of verbs; with arguments, which belong behind a verb's own name, exits with an error.

    Args:
        package: the package that was run with `python -m`.
        packages: the packages whose verbs are listed.
    """
    name = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    if name:
        near = near_name(name, VERBS[package])
        hint = f"; did you mean python -m {package}.{near}?" if near else ""
        sys.exit(f"error: {name} is not an argument of python -m {package}, which lists the verbs{hint}")
    print(listing(packages))
