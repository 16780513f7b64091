"""Runs the Python of the page "A VGG in your own Keras code", and checks the figures of "The paper in an afternoon"."""

import json
import re

import keras
import pytest

from tests.helpers import documentation, model_zoo
from tests.helpers.evaluation_data import photo
from vgg_keras.evaluation.published import PUBLISHED
from vgg_keras.tasks.suites import SUITES

AFTERNOON = "paper-in-an-afternoon.md"
CONFIGS = {
    "A": "vgg11",
    "A-LRN": "vgg11_lrn",
    "B": "vgg13",
    "B-5x5": "vgg13_5x5",
    "C": "vgg16_c",
    "D": "vgg16",
    "E": "vgg19",
}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Makes a working folder with photos of two kinds, and changes to it."""
    for index in range(20):
        folder = tmp_path / "photos" / ("blue", "red")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.jpg").write_bytes(photo(index, (50, 40)))
    (tmp_path / "photo.jpg").write_bytes(photo(3, (60, 45)))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.generations
def test_a_vgg_in_own_keras_code(photos, capsys):
    blocks = [block.code for block in documentation.blocks("python") if block.page.name == "own-keras.md"]
    # A narrow net with random weights on small photos, in the place of a download.
    smaller = {"side = 224": "side = 32", 'weights="imagenet"': "width_multiplier=1 / 16", "epochs=5": "epochs=1"}
    code = "\n".join(blocks)
    for words, others in smaller.items():
        assert words in code
        code = code.replace(words, others)
    names: dict = {}
    before_unfreezing, after = code.split("trunk.trainable = True\n")
    exec(compile(before_unfreezing, "own-keras.md", "exec"), names)
    assert names["trunk"].trainable_weights == []
    weights = {name: names["trunk"].get_layer(name).get_weights()[0] for name in ("block4_conv3", "block5_conv1")}
    try:
        exec(compile("trunk.trainable = True\n" + after, "own-keras.md", "exec"), names)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    # The last block has learned, and the block before it has not; the trunk of the last section is another one.
    trained = next(layer for layer in names["model"].layers if "vgg" in layer.name)
    changed = {name: (trained.get_layer(name).get_weights()[0] != weights[name]).any() for name in weights}
    assert changed == {"block4_conv3": False, "block5_conv1": True}
    printed = capsys.readouterr().out
    assert re.search(r"\{'blue': [01]\.\d+, 'red': [01]\.\d+\}", printed)
    assert "bfloat16 float32" in printed


def test_the_figures_of_the_afternoon_are_those_that_were_measured_and_published():
    measured = json.loads(model_zoo.MEASURED.read_text(encoding="utf-8"))
    rows = re.findall(r"^\| (\S+) \| \d+ \| (\S+%) \| (.+) \|$", documentation.text(AFTERNOON), re.MULTILINE)
    table_3 = {
        row.key.nets[0].net: row.top1 for row in PUBLISHED if row.table == 3 and row.key.nets[0].train_scale == "256"
    }
    for net, error, published in rows:
        assert error == measured[f"configs/cifar10/{CONFIGS[net]}.cfg"]["error"], net
        assert published == (f"{table_3[net]}%" if net in table_3 else "7 points more than B"), net
    assert {net for net, *_ in rows} == set(CONFIGS)


def test_the_afternoon_counts_the_steps_of_the_quick_suite():
    steps = list(SUITES["quick"].steps())
    assert len(steps) == 15
    assert "lists fifteen steps" in documentation.text(AFTERNOON)
