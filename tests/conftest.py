"""Provides fixtures: a small data set, the real photos if they exist, and runs of the verbs."""

import signal
from pathlib import Path

import keras
import pytest

from data_prep import synthetic_flowers
from data_prep.builder import PrepareOptions, write_dataset
from tests.helpers.paths import REAL_DATA
from tests.helpers.processes import start_verb
from vgg_keras.data import decoding_memory

# A shell lets what it runs in the background ignore SIGINT, and whatever the tests started would ignore it too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Rooms in which most files take long, since they train, export or run whole verbs.
_LONG = ("verbs", "serving", "training")


def pytest_collection_modifyitems(items):
    """Puts the files of slow tests first, and skips the tests of real photos, with a reason, if these are missing."""
    # Else a file of one test of minutes would begin last, while the other process of tests has nothing left to do.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.parent.name not in _LONG))
    if REAL_DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason="the real photos (../shared/data) are not on this machine"))


@pytest.fixture(autouse=True)
def no_shared_decoding_memory(monkeypatch):
    """Takes from each test the bound that work of a pool has set in this process; else others would wait for memory."""
    monkeypatch.setattr(decoding_memory, "_shared", None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Returns the folder of real photos; tests that use it carry the marker real_data."""
    return REAL_DATA


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory) -> Path:
    """Makes a data set of 60 + 35 synthetic flowers; 35 is a multiple of neither 8 nor 2, so batches need padding."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    source = synthetic_flowers.synthetic_flowers(7, {"train": 12, "validation": 7})
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1))
    return folder


@pytest.fixture
def loaded_files(monkeypatch) -> list[str]:
    """Returns a list that receives the names of the `.keras` files that Keras loads during a test."""
    loaded, load = [], keras.saving.load_model
    monkeypatch.setattr(keras.saving, "load_model", lambda path, **rest: loaded.append(path.name) or load(path, **rest))
    return loaded


@pytest.fixture
def run_verb(tmp_path):
    """Returns a function that runs a verb to its end and returns (exit code, stdout, stderr)."""

    def run(module: str, *arguments: str, env: dict | None = None, anew: bool = False) -> tuple[int, str, str]:
        process = start_verb(module, *arguments, cwd=tmp_path, env=env, anew=anew)
        stdout, stderr = process.communicate(timeout=900)
        return process.returncode, stdout, stderr

    return run
