"""Tests the curves of a run: positions, marks and the file."""

import json
import math

import pytest
from PIL import Image

from vgg_keras.training import curves
from vgg_keras.training.schedules import LearningRate, Plateau


def entry(epoch, error, *, rate=0.01, loss=1.0, complete=True, step=None):
    return {
        "epoch": epoch, "complete": complete, "step": step or 8 * epoch, "learning_rate": rate,
        "training_loss": loss / 2, "training_top1_error": error / 2,
        "validation_loss": loss, "validation_top1_error": error,
    }  # fmt: skip


def test_an_unfinished_epoch_counts_in_part():
    history = [entry(1, 50.0), entry(2, 40.0), entry(3, 30.0, complete=False, step=18)]
    assert curves.epoch_positions(history) == [1.0, 2.0, 2.25]
    assert curves.epoch_positions([entry(1, 50.0, complete=False, step=3)]) == [1.0]


def test_drops_of_the_plateau_rule_are_found():
    rates = [0.02, 0.02, 0.002, 0.002, 0.0002]
    assert curves.rate_drops([entry(index, 50.0, rate=rate) for index, rate in enumerate(rates)]) == [1, 3]


@pytest.mark.parametrize("schedule", [LearningRate(0.01, cosine_steps=80), LearningRate(0.01, warm_up_steps=60)])
def test_other_changes_of_the_rate_are_no_drops(schedule):
    rates = [schedule.at(8 * epoch - 1, Plateau(5)) for epoch in range(1, 11)]
    assert len(set(rates)) > 5
    assert curves.rate_drops([entry(index, 50.0, rate=rate) for index, rate in enumerate(rates)]) == []


def test_the_best_epoch_and_the_drops_are_marked():
    # Epochs 2 and 3 have the same error; the loss of epoch 3 is lower.
    history = [entry(1, 50.0), entry(2, 25.0, loss=0.9), entry(3, 25.0, loss=0.8), entry(4, 30.0, rate=0.001)]
    figure = curves.draw(history, "net A, run flowers")
    assert figure.get_suptitle() == "net A, run flowers"
    for axes, best, label in zip(figure.axes, (0.8, 25.0), ("epoch 3): 0.8000", "epoch 3): 25.00%"), strict=True):
        lines = {line.get_label(): line for line in axes.get_lines()}
        assert lines["validation"].get_xdata().tolist() == [1, 2, 3, 4]
        (star,) = [line for text, line in lines.items() if text == f"best model ({label}"]
        assert (star.get_xdata().tolist(), star.get_ydata().tolist()) == ([3], [best])
        dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        assert [line.get_xdata()[0] for line in dashed] == [3]
        assert [text.get_text() for text in axes.texts] == ["rate 0.001"]
    assert list(figure.axes[1].get_lines()[0].get_ydata()) == [25.0, 12.5, 12.5, 15.0]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_leaves_room_for_the_others(loss):
    figure = curves.draw([entry(1, 50.0, loss=2.0), entry(2, 60.0, loss=loss)], "")
    assert figure.axes[0].get_ylim() == (0, pytest.approx(2.2))


def test_the_file(tmp_path):
    curves.write(tmp_path, "without a history")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "history.jsonl").write_text(json.dumps(entry(1, 0.0, loss=math.pi)) + "\n")
    curves.write(tmp_path, "one epoch without errors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.jsonl"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1100, 450)
