"""Runs the Python examples of the README."""

import contextlib
import io
import re

import keras
import pytest

from tests.helpers import rest_server
from tests.helpers.evaluation_data import CLASSES, SIZES, photo, save_net
from tests.helpers.images import encode, picture
from tests.helpers.paths import ROOT
from vgg_keras.serving import exporter
from vgg_keras.serving.client import local_server


def block(word):
    """Returns the README's only block of Python that contains a word."""
    (found,) = [
        code for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if word in code
    ]
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes a working folder with a run in runs/flowers, and changes to it."""
    save_net("A", tmp_path / "runs" / "flowers")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_reuse_in_plain_keras(place):
    for index in range(12):
        folder = place / "photos" / ("blue", "red")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(photo(index, (80, 70)))
    code = block("block5_pool")
    assert "vgg_keras" not in re.sub(r"#.*", "", code)
    exec(compile(code, "README.md", "exec"), {})
    reused = keras.saving.load_model(place / "my_photos.keras")
    assert reused.output_shape == (None, 2)
    # The trunk is unchanged; the head was trained.
    source = keras.saving.load_model(place / "runs" / "flowers" / "best.keras")
    for layer in ("block1_conv1", "block5_conv2"):
        for before, after in zip(
            source.get_layer(layer).get_weights(), reused.get_layer(layer).get_weights(), strict=True
        ):
            assert (before == after).all()
    assert reused.layers[-1].get_weights()[1].any()


@pytest.mark.multiprocess
def test_a_client_of_the_server(place):
    (place / "runs" / "flowers" / "label_names.txt").write_text("".join(f"kind {name}\n" for name in CLASSES))
    photos = [photo(index, size) for index, size in enumerate(SIZES[:2])]
    version = exporter.export(place / "runs" / "flowers" / "best.keras", place / "saved_models" / "flowers", photos)
    (place / "photo.jpg").write_bytes(photos[0])
    (place / "another.png").write_bytes(encode(picture(70, 90), format="PNG"))
    code, printed = block("urllib"), io.StringIO()
    assert "http://localhost:8501" in code
    with (
        local_server(version, "flowers") as client,
        rest_server.serving(client, "flowers") as url,
        contextlib.redirect_stdout(printed),
    ):
        exec(compile(code.replace("http://localhost:8501", url), "README.md", "exec"), {})
    line = r" kind [a-f] 0\.\d+\n"
    assert re.fullmatch(rf"photo\.jpg{line}another\.png{line}", printed.getvalue())
