"""Provides the inputs of the verbs that tests of faults run."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.killing import run_counted
from tests.helpers.scenarios import TRAIN


@pytest.fixture(scope="session")
def inputs(tmp_path_factory, drawn_data) -> dict[str, str]:
    """Returns the paths that flags name in capitals: photos, a data set, a model."""
    folder = tmp_path_factory.mktemp("inputs")
    run_counted(
        0, "vgg_keras.train", TRAIN.replace("DATA", str(drawn_data)).replace("epochs=2", "epochs=1").split(), folder
    )
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{name}{number}.jpg")
    return {"PHOTOS": str(folder / "photos"), "DATA": str(drawn_data), "MODEL": str(folder / "run")}
