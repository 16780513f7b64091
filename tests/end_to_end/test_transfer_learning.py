"""Tests training that starts from another net: frozen layers, their cache, early stopping, and the resulting model."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers.paths import TINY_CONFIG
from tests.helpers.processes import kill_when, newest_checkpoint_is, start_verb
from tests.helpers.runs import history
from vgg_keras.models import saving, vgg
from vgg_keras.models.vgg import Initialization, build
from vgg_keras.tasks import training, training_step
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse
from vgg_keras.utils.resumable_array import ResumableArray

_TINY = [f"--flagfile={TINY_CONFIG}", "--precision=float32"]


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Saves a tiny net A of ten classes, whose FC8 does not fit the data set's five; returns its file."""
    path = tmp_path_factory.mktemp("source") / "source.keras"
    model = build("A", 10, input_size=32, width_multiplier=1 / 8, initialization=Initialization("glorot", seed=3))
    saving.save_model(model, path)
    return path


def options(drawn_data, folder, *arguments) -> TrainConfig:
    argv = [*_TINY, f"--data_dir={drawn_data}", f"--output_dir={folder}", *arguments]
    return parse(argv, TrainConfig)


def train(options: TrainConfig) -> None:
    with console.speaking(True):
        training.train_model(options)


def weights_of(folder) -> dict[str, list[np.ndarray]]:
    model = saving.load_model(folder / "best.keras")
    return {layer.name: layer.get_weights() for layer in model.layers}


def assert_close(received: list[dict], expected: list[dict]) -> None:
    assert [sorted(entry) for entry in received] == [sorted(entry) for entry in expected]
    for ours, theirs in zip(received, expected, strict=True):
        np.testing.assert_allclose(
            [ours[key] for key in sorted(ours)], [theirs[key] for key in sorted(theirs)], rtol=1e-4
        )


def test_a_cache_changes_nothing_while_there_is_a_view_for_each_epoch(tmp_path, drawn_data, source, capsys):
    flags = [f"--init_from={source}", "--freeze_up_to=block4_pool", "--pretrained_rate=0.1", "--learning_rate=1e-2"]
    flags += ["--epochs=2", "--schedule=cosine", "--warm_up_steps=4"]
    train(options(drawn_data, tmp_path / "images", *flags))
    train(options(drawn_data, tmp_path / "cached", *flags, "--cache_views=2"))
    assert_close(history(tmp_path / "cached"), history(tmp_path / "images"))
    # Two epochs of 8 steps: 4 steps of warm-up, 12 of cosine. The epochs end with steps 3 and 11 of the cosine.
    rates = [entry["learning_rate"] for entry in history(tmp_path / "cached")]
    np.testing.assert_allclose(rates, [5e-3 * (1 + np.cos(np.pi * step / 12)) for step in (3, 11)])
    assert not (tmp_path / "cached" / "cache").exists()
    before, after = saving.load_model(source), weights_of(tmp_path / "cached")
    for name, layer in vgg.layers_with_weights(before).items():
        pairs = zip(layer.get_weights(), after[name], strict=True)
        same = all(old.shape == new.shape and (old == new).all() for old, new in pairs)
        assert same == name.startswith(("block1", "block2", "block3", "block4")), name
    assert "new, with random weights, since the shapes differ: fc8" in capsys.readouterr().out


def test_training_on_crops_of_maps(tmp_path, drawn_data, source):
    flags = [f"--init_from={source}", "--freeze_up_to=block3_pool", "--cache_views=1", "--epochs=2"]
    train(options(drawn_data, tmp_path / "run", *flags, "--train_scale=48", "--cache_side=48"))
    assert len(history(tmp_path / "run")) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--freeze_up_to=block5_pool"],
            r"would leave random weights as they are \(block1_conv1, .*\): give them with",
        ),
        (["--freeze_up_to=block6_pool"], "freeze_up_to=block6_pool is not a layer of vgg_a with layers to train after"),
        (["--freeze_up_to=fc8"], "freeze_up_to=fc8 is not a layer"),
        (
            ["--cache_views=1", "--cache_side=48", "--freeze_up_to=fc6"],
            "cache_side=48 needs --cache_views, and must lie",
        ),
        (["--cache_side=32"], "cache_side=32 needs --cache_views, and must lie between --input_size=32 and"),
        (["--cache_views=1"], "cache_views=1 keeps the outputs of layers that are not trained: name the last"),
    ],
)
def test_what_cannot_be_frozen(tmp_path, drawn_data, flags, message):
    with pytest.raises(UserError, match=message):
        train(options(drawn_data, tmp_path / "run", *flags))
    assert not (tmp_path / "run").exists()


def test_crops_of_what_is_no_map(tmp_path, drawn_data, source):
    flags = [f"--init_from={source}", "--freeze_up_to=fc6", "--cache_views=1", "--train_scale=48", "--cache_side=48"]
    with pytest.raises(UserError, match="cache_side: the outputs of fc6 are no map"):
        train(options(drawn_data, tmp_path / "run", *flags))


def test_a_disk_without_room_for_the_cache(tmp_path, drawn_data, source, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    flags = [f"--init_from={source}", "--freeze_up_to=block4_pool", "--cache_views=3"]
    with pytest.raises(UserError, match=r"need 0\.0 GB in .*cache, which has 0\.0 GB left: lower --cache_views"):
        train(options(drawn_data, tmp_path / "run", *flags))


def test_early_stop(tmp_path, drawn_data, capsys):
    # With the learning rate 0 no later epoch is better than the first.
    flags = ["--epochs=50", "--learning_rate=0", "--early_stop=2", "--schedule=cosine"]
    train(options(drawn_data, tmp_path / "run", *flags))
    assert [entry["epoch"] for entry in history(tmp_path / "run")] == [1, 2, 3]
    assert "no better model in 2 epochs: finished" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.multiprocess
def test_killed_while_the_cache_is_filled_and_while_it_is_used(tmp_path, drawn_data, source, run_verb):
    flags = [*_TINY, f"--data_dir={drawn_data}", f"--init_from={source}", "--freeze_up_to=block4_pool"]
    flags += ["--cache_views=3", "--epochs=4", "--checkpoint_every=3", "--resume"]
    code, _, stderr = run_verb("vgg_keras.train", *flags, "--output_dir=whole")
    assert code == 0, stderr

    def start() -> subprocess.Popen:
        return start_verb("vgg_keras.train", *flags, "--output_dir=killed", cwd=tmp_path)

    def spoil(path: Path, count: int) -> None:
        """Makes a file look as if the process had been killed in the middle of a row of the third batch."""
        rows = ResumableArray(path, count, 2 + 2 * 2 * 64)
        rows.values()[20, 100:] = np.nan
        rows.flush()

    cache = tmp_path / "killed" / "cache"
    kill_when(start(), (cache / "view2.npy").exists)
    spoil(cache / "view1.npy", 64)
    kill_when(start(), functools.partial(newest_checkpoint_is, tmp_path / "killed", 11))
    spoil(cache / "validation.npy", 40)
    code, stdout, stderr = run_verb("vgg_keras.train", *flags, "--output_dir=killed")
    assert code == 0, stderr
    assert "continuing at epoch 2" in stdout
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    assert not cache.exists()


def test_a_net_for_other_classes_starts_from_downloaded_convolutions(tmp_path, monkeypatch):
    vgg16, with_fc_layers = keras.applications.VGG16, []

    def downloaded(weights, include_top):
        with_fc_layers.append(include_top)
        return vgg16(weights=None, include_top=include_top)

    monkeypatch.setattr(keras.applications, "VGG16", downloaded)
    settings = TrainConfig(output_dir=str(tmp_path), net="D", init_from="keras_applications", input_size=32)
    model, pretrained = training_step.build_model(settings, num_classes=3, mean_rgb=(0.0, 0.0, 0.0))
    assert with_fc_layers == [False]
    assert (len(pretrained), model.output_shape) == (13, (None, 3))


_WITHOUT_US = """
import sys
sys.modules["vgg_keras"] = sys.modules["data_prep"] = None  # importing them raises ImportError
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
assert all(layer.trainable for layer in model.layers)
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""


@pytest.mark.multiprocess
def test_a_fine_tuned_model_loads_where_this_package_cannot_be_imported(tmp_path, drawn_data, source):
    flags = [f"--init_from={source}", "--freeze_up_to=block5_pool", "--cache_views=1", "--epochs=1"]
    train(options(drawn_data, tmp_path / "run", *flags))
    best, images = tmp_path / "run" / "best.keras", np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    arguments = [str(path) for path in (best, tmp_path / "posteriors.npy", tmp_path / "images.npy")]
    subprocess.run([sys.executable, "-c", _WITHOUT_US, *arguments], cwd=tmp_path, check=True)
    expected = saving.load_model(best)(images)
    np.testing.assert_allclose(np.load(tmp_path / "posteriors.npy"), expected, atol=1e-6)
