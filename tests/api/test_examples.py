"""Runs the examples in the docstrings of the Python API, in the order in which a newcomer would, and all others."""

import doctest
import importlib
import sys

import pytest

import vgg_keras as vgg
from tests.helpers import import_graph
from tests.helpers.paths import ROOT
from vgg_keras.api.trained_localizer import TrainedLocalizer
from vgg_keras.api.trained_model import TrainedModel

# The first three make the run and the exported model that the others use.
PUBLIC = (
    "train_model", "evaluate_model", "export_model", "load", "TrainedModel.classify", "TrainedModel.posteriors",
    "TrainedModel.scales", "TrainedModel.score_map", "TrainedModel.explain_prediction", "TrainedModel.features",
    "load_localizer",
    "TrainedLocalizer.find", "TrainedLocalizer.box", "is_localizer", "read_photo", "open_data",
    "build", "vgg11", "vgg13", "vgg16", "vgg19",
)  # fmt: skip
# Modules of the API; their examples are run above.
API = {
    "vgg_keras.data.datasets",
    *(f"vgg_keras.api.{name}" for name in ("functions", "loading", "nets", "trained_localizer", "trained_model")),
}


def examples(name: str) -> doctest.DocTest:
    """Returns the examples in the docstring of a public name."""
    found = vgg
    for part in name.split("."):
        found = getattr(found, part)
    return doctest.DocTestParser().get_doctest(found.__doc__, {}, name, None, 0)


def run(test: doctest.DocTest) -> None:
    messages: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=messages.append)
    assert outcome.attempted, f"{test.name} has no example"
    assert not outcome.failed, "".join(messages)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a working folder that all examples share."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.slow
@pytest.mark.generations
@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_of_each_public_function_runs(name, place, monkeypatch, capfd):
    monkeypatch.chdir(place)
    run(examples(name))
    assert capfd.readouterr().out == "", "the API prints only if it is verbose"


def test_every_public_function_has_an_example():
    names = {name for name in vgg.__all__ if callable(getattr(vgg, name)) and not isinstance(getattr(vgg, name), type)}
    assert names <= set(PUBLIC)
    for loaded in (TrainedModel, TrainedLocalizer):
        methods = {name for name in vars(loaded) if not name.startswith("_") and callable(getattr(loaded, name))}
        assert {f"{loaded.__name__}.{name}" for name in methods} <= set(PUBLIC)


def modules_with_examples() -> list[str]:
    paths = import_graph.find_modules(ROOT)
    return [module for module, path in paths.items() if module not in API and "    >>> " in path.read_text()]


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_other_examples_run(module):
    importlib.import_module(module)
    for test in doctest.DocTestFinder(exclude_empty=True).find(sys.modules[module]):
        if test.examples:
            run(test)


def test_options_that_do_not_exist_or_cannot_be_used(tmp_path):
    with pytest.raises(vgg.UserError, match="lr is not an option; did you mean learning_rate"):
        vgg.train_model(output_dir="x", lr=0.1)
    (tmp_path / "file").write_text("")
    with pytest.raises(vgg.UserError, match=r"file exists and is a file; remove it or choose another"):
        vgg.train_model(output_dir=tmp_path / "file", dataset="drawn_flowers")
