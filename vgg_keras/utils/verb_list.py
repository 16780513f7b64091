"""Lists the verbs of the project, without importing them and TensorFlow with them."""

import ast
import importlib.util
from collections.abc import Sequence
from pathlib import Path

VERBS = {
    "data_prep": ("flowers", "imagenet", "image_folder", "verify"),
    "vgg_keras": ("train", "evaluate", "report", "predict", "features", "pretrained", "export", "serve_check"),
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
