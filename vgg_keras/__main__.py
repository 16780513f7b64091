"""Lists the verbs of the project: python -m vgg_keras."""

import ast
import importlib.util
from pathlib import Path

VERBS = {
    "data_prep": ("flowers", "imagenet", "image_folder", "verify"),
    "vgg_keras": ("train", "evaluate", "report", "predict", "features", "pretrained", "export", "serve_check"),
}


def summary(module: str) -> str:
    """Returns the first line of a verb's docstring, without importing the verb and TensorFlow with it.

    Args:
        module: dotted name of the verb's module.
    """
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def main() -> None:
    """Prints the name and the summary of each verb."""
    modules = [f"{package}.{verb}" for package, verbs in VERBS.items() for verb in verbs]
    lines = ["python -m VERB [flags]", "", *(f"  {module:<23} {summary(module)}" for module in modules)]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
