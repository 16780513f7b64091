"""Imports run one way: leaves -> pipeline, trainer, scoring -> verbs."""

import ast

from tests.conftest import ROOT

PACKAGES = ("vgg_keras", "data_prep")
VERBS = {
    *(
        f"vgg_keras.{name}"
        for name in ("train", "evaluate", "report", "predict", "features", "export", "pretrained", "serve_check")
    ),
    *(f"data_prep.{name}" for name in ("flowers", "imagenet", "image_folder", "verify")),
}


def imports():
    """Returns {module: modules of ours that it imports, anywhere in it}."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    found = {}
    for module, path in modules.items():
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[module] = names & modules.keys()
    return found


def test_no_circles():
    graph = imports()
    while leaves := [module for module, needs in graph.items() if not needs]:
        graph = {module: needs - set(leaves) for module, needs in graph.items() if module not in leaves}
    assert graph == {}


def test_nobody_imports_a_verb():
    assert [(module, verb) for module, needs in imports().items() for verb in needs & VERBS] == []


def test_only_command_line_touches_absl_flags():
    users = [
        path.name for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "from absl" in path.read_text()
    ]
    assert users == ["cli.py"]
