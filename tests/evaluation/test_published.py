"""Tests the published results, and the flag files that reproduce them."""

import re

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.evaluation import published
from vgg_keras.evaluation.published import PUBLISHED
from vgg_keras.inference import protocol
from vgg_keras.inference.protocol import TrainedNet
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.options import parse

CONFIGS = sorted(path.stem for path in (ROOT / "configs" / "tables").glob("table[3-6]_*.cfg"))


def test_the_tables_hold_what_the_paper_has():
    by_table = {number: [row for row in PUBLISHED if row.table == number] for number in (3, 4, 5, 6)}
    assert {number: len(rows) for number, rows in by_table.items()} == {3: 12, 4: 10, 5: 6, 6: 4}
    # Sums of the columns in the paper, added up by hand.
    assert sum(row.top1 for row in by_table[3]) == pytest.approx(330.6)
    assert sum(row.top5 for row in by_table[3]) == pytest.approx(109.6)
    assert sum(row.top1 for row in by_table[4]) == pytest.approx(266.3)
    assert sum(row.top5 for row in by_table[4]) == pytest.approx(85.7)
    assert {(row.table, row.nets[0].net, row.method): row.test_top5 for row in PUBLISHED if row.test_top5} == {
        (4, "E", protocol.DENSE): 7.3,  # sect. 4.2
        (5, "E", protocol.BOTH): 7.0,  # Table 7
        (6, "D", protocol.DENSE): 7.0,
        (6, "D", protocol.BOTH): 6.8,
    }
    assert [row.top1 for row in by_table[5]] == [24.8, 24.6, 24.4] * 2
    assert [(row.top1, row.top5, row.test_top5) for row in by_table[6]] == [
        (24.7, 7.5, 7.3), (24.0, 7.1, 7.0), (23.9, 7.2, None), (23.7, 6.8, 6.8)
    ]  # fmt: skip


def found(nets, method, scales, flip=True, average=protocol.SCORES):
    return published.find_published(nets, method, scales, flip=flip, average=average)


def test_rows_are_found_in_any_order():
    d, e = TrainedNet("D", "256,512"), TrainedNet("E", "256,512")
    scales = (256, 384, 512)
    (row,) = found([e, d], protocol.BOTH, [scales, scales])
    assert (row.table, row.top1) == (6, 23.7)
    assert [row.table for row in found([d], protocol.DENSE, [scales])] == [4, 5]
    assert found([d], protocol.DENSE, [(256, 384)]) == []
    assert found([d, e], protocol.DENSE, [scales, (384,)]) == []


@pytest.mark.parametrize(
    ("method", "flip", "average", "differences"),
    [
        (protocol.DENSE, True, protocol.SCORES, []),
        (protocol.DENSE, False, protocol.SCORES, ["no mirror"]),
        (protocol.DENSE, True, protocol.POSTERIORS, ["posteriors averaged over the map"]),
        (protocol.BOTH, False, protocol.POSTERIORS, ["no mirror", "posteriors averaged over the map"]),
        (protocol.MULTI_CROP, True, protocol.POSTERIORS, []),  # crops have no map
    ],
)
def test_other_protocols_than_the_papers_find_no_row(method, flip, average, differences):
    assert published.protocol_differences(method, flip=flip, average=average) == differences
    rows = found([TrainedNet("E", "256,512")], method, [(256, 384, 512)], flip, average)
    assert bool(rows) == (not differences)


def trained_by(path):
    """Returns the net of the training config whose run or posteriors a flag file of a table names."""
    name = re.fullmatch(r"runs/(\w+)|evaluations/(?:table[45]|submitted)_(\w+?)(?:_both)?/posteriors\.npz", path)
    options = parse([f"--flagfile=configs/{name[1] or name[2]}.cfg"], TrainConfig)
    return TrainedNet(options.net, options.train_scale, options.freeze_up_to)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_flag_file_is_a_row_and_opens_with_its_command(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = parse([f"--flagfile=configs/tables/{name}.cfg"], EvaluateOptions)
    text = (ROOT / "configs" / "tables" / f"{name}.cfg").read_text()
    assert text.startswith(f"# python -m vgg_keras.evaluate --flagfile=configs/tables/{name}.cfg\n")
    nets = [trained_by(path) for path in options.model]
    kind = options.test_scales or protocol.MULTI  # fused nets were tested at several scales
    scales = [protocol.test_scales(net.scale_range(), kind) for net in nets]
    (row,) = [row for row in found(nets, options.method or protocol.DENSE, scales) if row.table == int(name[5])]
    assert f"Expected on ILSVRC-2012 validation: top-1 {row.top1}%, top-5 {row.top5}%." in text
    assert options.output_dir == f"evaluations/{name}"
    assert (options.data_dir, options.split, options.flip) == ("data/imagenet", "validation", None)


def test_every_row_has_a_flag_file():
    assert len(CONFIGS) == len(PUBLISHED) == 32
