"""Tests that files from before the layers moved to `vgg_keras.models.layers` still load."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.helpers import generation_files
from tests.helpers.paths import ROOT


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
