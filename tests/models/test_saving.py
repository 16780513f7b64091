"""Tests `.keras` files."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from vgg_keras.models import saving
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.generations


def test_models_that_cannot_be_loaded(tmp_path):
    with pytest.raises(UserError, match=r"absent\.keras is missing; give a \.keras file"):
        saving.load_model(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(UserError, match=r"text\.keras is not a Keras model that can be loaded"):
        saving.load_model(tmp_path / "text.keras")
    (tmp_path / "posteriors.npz").touch()
    with pytest.raises(UserError, match=r"posteriors\.npz is not a \.keras file; give one"):
        saving.load_model(tmp_path / "posteriors.npz")


def test_half_precision_models_are_saved_in_float32_and_keep_their_scores(tmp_path, photos):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small("A-LRN", batch_norm=True)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert model(photos).dtype == tf.float32
    saving.save_model(model, tmp_path / "model.keras")
    loaded = saving.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("block1_conv1").compute_dtype == "float32"
    np.testing.assert_allclose(loaded(photos), model(photos), atol=0.02)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.parametrize("units", [10**9, 10**15])
def test_a_small_file_with_a_huge_layer_is_refused(units, tmp_path):
    small().save(tmp_path / "small.keras")
    with zipfile.ZipFile(tmp_path / "small.keras") as whole, zipfile.ZipFile(tmp_path / "huge.keras", "w") as huge:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                assert b'"units": 256' in content
                content = content.replace(b'"units": 256', f'"units": {units}'.encode())
            huge.writestr(name, content)
    with pytest.raises(
        UserError, match=r"huge\.keras is not a Keras model that can be loaded: it declares [0-9,]{13,} byt"
    ):
        saving.load_model(tmp_path / "huge.keras")


@pytest.mark.multiprocess
def test_a_saved_model_loads_where_the_package_cannot_be_imported(tmp_path, photos):
    model = small("E")
    saving.save_model(model, tmp_path / "model.keras")
    np.save(tmp_path / "photos.npy", photos)
    script = (
        "import sys; sys.modules['vgg_keras'] = None\n"  # makes every import of it fail
        "import keras, numpy\n"
        "model = keras.saving.load_model('model.keras')\n"
        "numpy.save('posteriors.npy', model.predict(numpy.load('photos.npy'), verbose=0))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "posteriors.npy"), model(photos), atol=1e-6)
