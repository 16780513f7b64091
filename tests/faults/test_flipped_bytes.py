"""Tests that a flipped byte in any file that the package writes is mended, refused by one line, or does no harm.

Each kind of file has a reader: the verb or function that a user would call next. In the file one byte in the middle is
changed, then one at a random place. Nothing but the right result or an explained error may come of it.
"""

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vgg_keras
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.runs import history
from vgg_keras.models import saving
from vgg_keras.tasks import training
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import explain
from vgg_keras.utils.options import parse

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def written(tmp_path_factory, drawn_data) -> Path:
    """A folder with a data set, a run on it, an evaluation, descriptors and an exported version."""
    folder = tmp_path_factory.mktemp("written")
    shutil.copytree(drawn_data, folder / "data")
    _train(folder)
    _evaluate(folder)
    vgg_keras.export_model(model=folder / "run", output_dir=folder / "models")
    return folder


def _train(folder: Path) -> tuple:
    flags = f"--flagfile={TINY_CONFIG} --epochs=2 --learning_rate=1e-2 --checkpoint_every=3 --resume".split()
    folders = [f"--data_dir={folder / 'data'}", f"--output_dir={folder / 'run'}"]
    training.train_model(parse([*flags, *folders], TrainConfig))
    weights = saving.load_model(folder / "run" / "best.keras").get_weights()
    return json.dumps(history(folder / "run")), [array.tobytes() for array in weights]


def _evaluate(folder: Path) -> str:
    result = vgg_keras.evaluate_model(
        model=[folder / "run"], data_dir=folder / "data", output_dir=folder / "evaluation", save_posteriors=True
    )
    return _scores(result)


def _fuse(folder: Path) -> str:
    shutil.rmtree(folder / "fused", ignore_errors=True)
    result = vgg_keras.evaluate_model(
        model=[folder / "evaluation" / "posteriors.npz"], data_dir=folder / "data", output_dir=folder / "fused"
    )
    return _scores(result)


def _evaluate_anew(folder: Path) -> str:
    shutil.rmtree(folder / "evaluation", ignore_errors=True)
    return _evaluate(folder)


def _scores(result) -> str:
    rows = result.record["results"]
    return json.dumps([{key: value for key, value in row.items() if "second" not in key} for row in rows])


def _serve(folder: Path) -> bytes:
    photo = np.full((48, 40, 3), 100, np.uint8)
    return vgg_keras.load(folder / "models").posteriors(photo).tobytes()


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        pattern: where the files lie.
        read: function that reads them and returns what must not change.
        mended: whether the reader must get along with the damage.
    """

    pattern: str
    read: Callable[[Path], object]
    mended: bool = False


KINDS = (
    Kind("data/*.tfrecord*", _evaluate_anew),
    Kind("data/*.json", _evaluate_anew),
    Kind("data/*.txt", _evaluate_anew),
    Kind("run/checkpoints/*", _train, mended=True),
    Kind("run/best.keras", _train, mended=True),
    Kind("run/history.jsonl", _train, mended=True),
    Kind("run/tensorboard/*/*", _train, mended=True),
    Kind("run/curves.png", _train, mended=True),
    Kind("run/*.json", _train),
    Kind("run/*.cfg", _train, mended=True),
    Kind("run/*.txt", _train, mended=True),
    Kind("run/best.keras", _evaluate_anew),
    Kind("evaluation/evaluation.json", _evaluate),
    Kind("evaluation/posteriors.npz", _fuse),
    Kind("models/1/saved_model.pb", _serve),
    Kind("models/1/variables/*", _serve),
    Kind("models/1/assets/*", _serve),
    Kind("models/1/assets.extra/export.json", _serve),
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, written) -> Callable[[Callable], object]:
    """Returns a function from a reader to what it returns if no file is damaged."""
    return functools.cache(lambda read: read(shutil.copytree(written, tmp_path_factory.mktemp("whole") / "copy")))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.pattern} {kind.read.__name__}")
def test_a_flipped_byte_is_mended_refused_or_harmless(kind, written, expected, tmp_path):
    rng = np.random.default_rng(list(kind.pattern.encode()))
    paths = [path.relative_to(written) for path in sorted(written.glob(kind.pattern)) if path.stat().st_size]
    assert paths
    for path in paths:
        size = (written / path).stat().st_size
        for position in (size // 2, int(rng.integers(size))):
            folder = shutil.copytree(written, tmp_path / "damaged")
            content = bytearray((folder / path).read_bytes())
            content[position] ^= 1 << int(rng.integers(8))
            (folder / path).write_bytes(content)
            assert _outcome(kind, folder, expected(kind.read)) is None, f"{path}, byte {position}"
            shutil.rmtree(folder)


def _outcome(kind: Kind, folder: Path, expected: object) -> str | None:
    """Returns what a reader of a damaged file did that it should not, or None."""
    try:
        found = kind.read(folder)
    except Exception as error:
        return None if explain(error) and not kind.mended else repr(error)
    return "another result" if found != expected else None
