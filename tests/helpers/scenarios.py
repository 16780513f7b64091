"""The verbs that write, each with flags of a small case and with what two equal results have in common."""

import csv
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.runs import history
from vgg_keras.evaluation.tables import RECORD
from vgg_keras.models import saving


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _run(folder: Path) -> tuple:
    """Returns what two equal runs have in common: the history without timings, and the best model's weights."""
    weights = [array.tobytes() for array in saving.load_model(folder / "run" / "best.keras").get_weights()]
    left = sorted(path.name for path in (folder / "run").iterdir() if path.name.startswith(".") or path.name == "cache")
    return history(folder / "run"), weights, left


def _evaluation(folder: Path) -> tuple:
    """Returns what two equal evaluations have in common: all but the seconds and the paths."""
    record = json.loads((folder / "evaluation" / RECORD).read_text())
    results = [{key: value for key, value in row.items() if "second" not in key} for row in record["results"]]
    with (folder / "evaluation" / "predictions.csv").open(encoding="utf-8") as file:
        return results, list(csv.reader(file)), sorted(path.name for path in (folder / "evaluation").iterdir())


def _exported(folder: Path) -> tuple:
    """Returns what two equal exports have in common: the names of the files, and the agreement with the source."""
    # How many versions there are depends on whether the last kill came before or after one was complete.
    versions = sorted(path.name for path in (folder / "models").iterdir())
    record = json.loads((folder / "models" / versions[-1] / "assets.extra" / "export.json").read_text())
    names = sorted(name for name in _files(folder / "models" / versions[-1]))
    return names, record["agreement"], [name for name in versions if not name.isdigit()]


def _features(folder: Path) -> dict:
    with np.load(folder / "features.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A verb in a small case.

    Attributes:
        verb: its module.
        flags: its flags; DATA and MODEL stand for a data set and a model.
        result: function from the working folder to what has to be equal.
    """

    verb: str
    flags: str
    result: Callable[[Path], object]

    def arguments(self, inputs: Mapping[str, str]) -> list[str]:
        """Returns the command line, with paths for the words in capitals."""
        flags = self.flags
        for word, path in inputs.items():
            flags = flags.replace(word, path)
        return flags.split()


TRAIN = f"--flagfile={TINY_CONFIG} --epochs=2 --checkpoint_every=3 --data_dir=DATA --output_dir=run --resume"
SCENARIOS = {
    "data_prep": Scenario(
        "data_prep.image_folder", "--source_dir=PHOTOS --output_dir=out --num_workers=1", lambda folder: _files(folder)
    ),
    "training": Scenario("vgg_keras.train", TRAIN, _run),
    "feature cache": Scenario(
        "vgg_keras.train", f"{TRAIN} --init_from=MODEL --freeze_up_to=block4_pool --cache_views=2", _run
    ),
    "evaluation": Scenario(
        "vgg_keras.evaluate",
        "--model=MODEL --data_dir=DATA --output_dir=evaluation --method=both --test_scales=32,40 --save_posteriors",
        _evaluation,
    ),
    "features": Scenario("vgg_keras.features", "--model=MODEL --data_dir=DATA --output=features.npz", _features),
    "export": Scenario("vgg_keras.export", "--model=MODEL --output_dir=models", _exported),
}
