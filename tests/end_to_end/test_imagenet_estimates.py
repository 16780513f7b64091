"""Tests the numbers of the page "ImageNet on a GPU machine": multiply-adds from the nets, and hours from these."""

import functools
import math
import re

import keras
import numpy as np
import pytest

import vgg_keras as vgg
from tests.helpers import documentation
from tests.helpers.paths import ROOT
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.options import parse

PAGE = "imagenet-gpus.md"
IMAGES = 1_281_167
FC = 25_088 * 4_096 + 4_096 * 4_096 + 4_096 * 1_000
# Worked out by hand, block by block, in millions: 86.70 + 1,849.69; 924.84 + 1,849.69; 924.84 + 2 x 1,849.69;
# 924.84 + 2 x 1,849.69; 3 x 462.42.
CONVOLUTIONS_OF_D = 15_346.6e6


def rows(width: int) -> list[list[str]]:
    """Returns the rows of the tables of a number of columns, without backticks and thousands separators."""
    lines = re.findall(r"^\|(.*)\|$", documentation.text(PAGE), re.MULTILINE)
    cells = [[cell.strip().replace("`", "") for cell in line.split("|")] for line in lines]
    return [row for row in cells if len(row) == width and not row[0].startswith("-")]


@functools.cache
def convolutions(net: str) -> int:
    """Returns the multiply-adds of a net's convolutions, counted from the layers of the Keras model."""
    trunk = vgg.build(net, include_top=False)
    layers = [layer for layer in trunk.layers if isinstance(layer, keras.layers.Conv2D)]
    return sum(int(np.prod(layer.kernel.shape)) * math.prod(layer.output.shape[1:3]) for layer in layers)


def training_operations(net: str, epochs: float) -> float:
    return 6 * (convolutions(net) + FC) * IMAGES * epochs


def test_the_multiply_adds_of_d_are_those_worked_out_by_hand():
    assert convolutions("D") == pytest.approx(CONVOLUTIONS_OF_D, rel=1e-5)


def test_the_table_of_operations():
    table = [row for row in rows(4) if not row[0].startswith(("net", "test", "Table"))]
    found = {net: numbers for names, *numbers in table for net in names.split(", ")}
    assert set(found) == {"A", "A-LRN", "B", "B-5x5", "C", "D", "E"}
    for net, (forward, image, whole) in found.items():
        total = convolutions(net) + FC
        assert forward == f"{total / 1e9:.2f}", net
        assert image == f"{6 * total / 1e9:.1f}", net
        assert whole == f"{training_operations(net, 74) / 1e18:.2f}", net


def test_the_table_of_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    table = [row for row in rows(6) if row[0].isdigit()]
    order, total = [], 0.0
    for step, run, source, epochs, operations, hours in table:
        config = parse([f"--flagfile=configs/{run}.cfg"], TrainConfig)
        order.append(run)
        assert int(step) == len(order)
        assert source == config.init_from.removeprefix("runs/")
        assert source in ("", *order)
        frozen = bool(config.freeze_up_to)
        once = 2 * convolutions(config.net) + 6 * FC if frozen else 6 * (convolutions(config.net) + FC)
        expected = once * IMAGES * int(epochs)
        assert (operations, hours) == (f"{expected / 1e18:.2f}", f"{expected / 1e14 / 3600:.1f}"), run
        total += expected
    assert f"{total / 1e18:.1f}·10¹⁸ operations, {total / 1e14 / 3600:.0f} hours at 100" in documentation.text(PAGE)


def test_the_table_of_gpus():
    text = documentation.text(PAGE)
    all_runs = float(re.search(r"([\d.]+)·10¹⁸ operations, \d+ hours", text)[1]) * 1e18
    d = training_operations("D", 74)
    for gpu, peak, sustained, rate, hours, hours_of_all in [row for row in rows(6) if row[1].isdigit()]:
        speed = 0.35 * float(peak) * 1e12
        assert sustained == f"{speed / 1e12:.0f}", gpu
        assert rate == f"{speed / (d / 74 / IMAGES):,.0f}", gpu
        assert hours == f"{d / speed / 3600:.1f}", gpu
        assert float(hours_of_all) == pytest.approx(all_runs / speed / 3600, abs=1), gpu


def test_the_table_of_tests():
    def dense(net: str, side: int) -> float:
        """Operations of a photo of 4:3 and its mirror image, FC layers at each position of the map."""
        width = side * 4 / 3
        positions = (side // 32 - 6) * (int(width) // 32 - 6)
        return 2 * 2 * (convolutions(net) * side * width / 224**2 + FC * positions)

    tables = {name[:7]: numbers for name, _, *numbers in rows(4) if name.startswith("Table")}
    for index, net in enumerate("DE"):
        three = sum(dense(net, side) for side in (256, 384, 512))
        crops = 150 * 2 * (convolutions(net) + FC)
        for name, photo in {"Table 3": dense(net, 384), "Table 4": three, "Table 5": three + crops}.items():
            operations, minutes = (cell.split(", ")[index] for cell in tables[name])
            assert float(operations) == pytest.approx(photo * 50_000 / 1e15, abs=0.5), (name, net)
            assert int(minutes) == pytest.approx(photo * 50_000 / 1e14 / 60, abs=0.6), (name, net)
