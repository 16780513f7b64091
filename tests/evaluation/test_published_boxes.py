"""Tests the published errors of localization, which results are theirs, and the flag files that reproduce them."""

import dataclasses
import re

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.evaluation.published import PAPER_LADDER, ScaleLadder
from vgg_keras.evaluation.published_boxes import (
    PUBLISHED_BOXES,
    BoxKey,
    LocalizerAtScales,
    box_key,
    find_published_boxes,
)
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TrainedNet
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.options import parse

CONFIGS = sorted(path.stem for path in (ROOT / "configs" / "tables").glob("table[89]*.cfg"))
SMALL, LARGE = TrainedNet("D", "256"), TrainedNet("D", "384")
FC = TrainedNet("D", "384", "block5_pool")


def test_the_tables_hold_what_the_paper_has():
    shown = [(row.table, row.others, row.error, row.test_error) for row in PUBLISHED_BOXES]
    assert shown == [
        (8, "", 36.4, None), (8, "", 34.3, None), (8, "", 33.1, None),
        (9, "", 29.5, None), (9, "", 28.2, 26.7), (9, "", 27.5, None), (9, "", 26.9, 25.3),
        (10, "", 26.9, 25.3), (10, "GoogLeNet", None, 26.7), (10, "OverFeat", 30.0, 29.9),
        (10, "Krizhevsky et al.", None, 34.2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nets", "kinds", "scales", "method", "error"),
    [
        ([FC], ["scr"], [[384]], CENTER_CROP, 36.4),
        ([FC], ["pcr"], [[384]], CENTER_CROP, 34.3),
        ([LARGE], ["pcr"], [[384]], CENTER_CROP, 33.1),
        ([SMALL], ["pcr"], [[256]], DENSE, 29.5),
        ([LARGE], ["pcr"], [[384]], DENSE, 28.2),
        ([LARGE], ["pcr"], [[384, 352]], DENSE, 27.5),
        ([LARGE, SMALL], ["pcr", "pcr"], [[352, 384], [256]], DENSE, 26.9),
        # What the paper has not.
        ([LARGE], ["scr"], [[384]], CENTER_CROP, None),
        ([SMALL], ["pcr"], [[256]], CENTER_CROP, None),
        ([FC], ["pcr"], [[384]], DENSE, None),
        ([LARGE], ["pcr"], [[352]], DENSE, None),
        ([LARGE, SMALL], ["pcr", "pcr"], [[384], [256]], DENSE, None),
        ([TrainedNet("E", "384")], ["pcr"], [[384]], DENSE, None),
        ([TrainedNet("D", "256,512")], ["pcr"], [[384]], DENSE, None),
    ],
)
def test_results_find_their_rows(nets, kinds, scales, method, error):
    row = find_published_boxes(box_key(PAPER_LADDER, nets, kinds, scales, method))
    assert (row and row.error) == error


def test_a_test_with_mirror_images_has_no_row():
    assert box_key(PAPER_LADDER, [LARGE], ["pcr"], [[384]], CENTER_CROP)
    assert box_key(PAPER_LADDER, [LARGE], ["pcr"], [[384]], CENTER_CROP, flip=True) is None


def test_other_scales_play_the_part_of_the_papers():
    ladder = ScaleLadder.of(["64", "96"])
    small, large = TrainedNet("D", "64"), TrainedNet("D", "96")
    expected = BoxKey((LocalizerAtScales(SMALL, "pcr", (256,)), LocalizerAtScales(LARGE, "pcr", (352, 384))), DENSE)
    assert box_key(ladder, [large, small], ["pcr"] * 2, [[96, 80], [64]], DENSE) == expected
    assert find_published_boxes(expected).error == 26.9
    assert box_key(ladder, [large], ["pcr"], [[64]], DENSE) is None
    assert box_key(ladder, [small], ["pcr"], [[64, 80]], DENSE) is None


def localizers_of(options):
    """Returns the localizers of a flag file, with those whose saved boxes it names."""
    for path in options.model:
        if name := re.fullmatch(r"evaluations/(\w+)/boxes\.npz", path):
            saved = parse([f"--flagfile=configs/tables/{name[1]}.cfg"], EvaluateOptions)
            assert saved.save_posteriors
            assert saved.output_dir == f"evaluations/{name[1]}"
            yield from localizers_of(saved)
        else:
            run = parse([f"--flagfile=configs/{path.removeprefix('runs/')}.cfg"], TrainConfig)
            assert (run.task, run.output_dir, run.learning_rate) == ("localization", path, 1e-3)
            assert run.init_from == {"256": "runs/vgg16", "384": "runs/vgg16_384"}[run.train_scale]
            sides = [int(side) for side in (options.test_scales or run.train_scale).split(",")]
            yield TrainedNet(run.net, run.train_scale, run.freeze_up_to), run.box_regression, sides


@pytest.mark.parametrize("name", CONFIGS)
def test_every_flag_file_is_a_row_and_opens_with_its_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse([f"--flagfile=configs/tables/{name}.cfg"], EvaluateOptions)
    text = (ROOT / "configs" / "tables" / f"{name}.cfg").read_text()
    assert text.startswith(f"# python -m vgg_keras.evaluate --flagfile=configs/tables/{name}.cfg\n")
    nets, kinds, scales = zip(*localizers_of(options), strict=True)
    row = find_published_boxes(box_key(PAPER_LADDER, nets, kinds, scales, (options.method or DENSE)))
    assert row.table == int(name[5])
    assert (
        f"# Time: not run. Expected on ILSVRC-2012 validation: {'top-5 ' * (row.table == 9)}localization error" in text
    )
    assert f" {row.error}%." in text
    assert (options.task, options.output_dir) == ("localization", f"evaluations/{name}")
    assert (options.data_dir, options.split) == ("data/imagenet", "validation")


def test_every_row_has_a_flag_file():
    assert len(CONFIGS) == len({dataclasses.astuple(row.key) for row in PUBLISHED_BOXES if row.key}) == 7
