"""Tests that files from before the layers moved to `vgg_keras.models.layers` still load."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.helpers import generation_files
from tests.helpers.paths import ROOT
from vgg_keras.models.layers import LocalResponseNormalization

pytestmark = pytest.mark.generations


@pytest.mark.multiprocess
def test_plain_keras_loads_a_file_that_names_the_module_of_before(tmp_path):
    with zipfile.ZipFile(generation_files.OWN) as file:
        assert '"vgg_keras.layers"' in file.read("config.json").decode()
    np.save(tmp_path / "images.npy", generation_files.images())
    script = (
        "import keras, numpy, vgg_keras.layers\n"
        f"model = keras.saving.load_model({str(generation_files.OWN)!r})\n"
        f"numpy.save({str(tmp_path / 'posteriors.npy')!r}, model(numpy.load({str(tmp_path / 'images.npy')!r})))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True)
    # Both Keras generations gave these posteriors, to all digits.
    expected = [0.2173221, 0.0576622, 0.4735573, 0.1428723, 0.1085861]
    np.testing.assert_allclose(np.load(tmp_path / "posteriors.npy")[0], expected, rtol=1e-4)


def test_local_response_normalization_equals_numpy():
    values = np.random.default_rng(0).normal(size=(2, 3, 4, 9)).astype(np.float32) * 50
    expected = np.empty_like(values)
    for channel in range(9):
        window = values[..., max(0, channel - 2) : channel + 3]  # Krizhevsky's n = 5
        expected[..., channel] = values[..., channel] / (2 + 1e-4 * (window**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(LocalResponseNormalization()(values), expected, rtol=1e-5)
