"""Tests a localizer from training to both tests of appendix A, against errors worked out from its own predictions."""

import csv
import json
import shlex
import shutil

import numpy as np
import pytest

from data_prep import voc
from data_prep.voc import VocOptions
from tests.helpers import numpy_net
from tests.helpers.annotations import write_voc
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate, predict, pretrained, train
from vgg_keras.data import datasets
from vgg_keras.models import metadata, saving
from vgg_keras.tasks.options import EvaluateOptions, ExportOptions, PredictOptions, PretrainedOptions, ReportOptions
from vgg_keras.tasks.results import TrainingResult
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse
from vgg_keras.weights.formats import read_weights


@pytest.fixture(scope="module")
def runs(tmp_path_factory, drawn_data):
    """Trains a classifier, and from its weights a localizer of each kind; returns the folder of the runs."""
    folder = tmp_path_factory.mktemp("runs")
    common = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--epochs=1"]
    call_verb(train.main, [*common, f"--output_dir={folder / 'classes'}"], TrainConfig)
    for kind in ("scr", "pcr"):
        flags = ["--task=localization", f"--box_regression={kind}", f"--init_from={folder / 'classes'}"]
        call_verb(train.main, [*common, *flags, f"--output_dir={folder / kind}"], TrainConfig)
    return folder


def overlap(first, second):
    """Returns the intersection over union of two boxes, without the package."""
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    common = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return common / (sum(areas) - common)


def run(output_dir, runs, drawn_data, *flags):
    call_verb(
        evaluate.main,
        ["--task=localization", f"--data_dir={drawn_data}", f"--output_dir={output_dir}", *flags],
        EvaluateOptions,
    )
    with (output_dir / "boxes.csv").open() as file:
        return json.loads((output_dir / "evaluation.json").read_text()), list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["scr", "pcr"])
def test_the_true_class_on_the_centre_crop(tmp_path, runs, drawn_data, kind):
    record, rows = run(tmp_path / "out", runs, drawn_data, f"--model={runs / kind}", "--method=center_crop")
    examples = list(datasets.open_data(str(drawn_data)).encoded("validation", boxes=True).as_numpy_iterator())
    assert len(rows) == len(examples) == 35
    best = []
    for row, example in zip(rows, examples, strict=True):
        box = [float(row[key]) for key in ("ymin", "xmin", "ymax", "xmax")]
        best.append(max(overlap(box, true) for true in example["boxes"].tolist()))
        assert float(row["iou"]) == pytest.approx(best[-1], abs=2e-4)
    assert record["results"][-1]["top5_error"] == pytest.approx(100 * np.mean(np.array(best) <= 0.5))
    assert record["results"][-1]["mean_iou"] == pytest.approx(np.mean(best), abs=1e-4)
    assert record["models"][0]["box_regression"] == kind
    assert (tmp_path / "out" / "pictures" / "boxes.png").exists()


@pytest.mark.parametrize("kind", ["scr", "pcr"])
def test_five_classes_on_the_whole_photo(tmp_path, runs, drawn_data, kind):
    flags = [f"--model={runs / kind}", f"--classifier={runs / 'classes'}", "--test_scales=40,48", "--max_images=6"]
    record, rows = run(tmp_path / "out", runs, drawn_data, *flags)
    assert record["images"]["num_images"] == 6
    assert len(rows) == 6 * 5
    by_file = [rows[start : start + 5] for start in range(0, 30, 5)]
    right = 0
    for found in by_file:
        assert len({row["predicted"] for row in found}) == 5
        posteriors = [float(row["posterior"]) for row in found]
        assert posteriors == sorted(posteriors, reverse=True)
        right += any(row["predicted"] == row["label"] and float(row["iou"]) > 0.5 for row in found)
    assert record["results"][-1]["top5_error"] == pytest.approx(100 * (1 - right / 6))
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| the 5 best classes, dense |" in report
    # Of five classes all are chosen.
    assert "On 0 of 6 photos (0.0%) the classifier did not choose the true class" in report


def test_a_localiser_is_no_classifier_and_a_classifier_no_localiser(tmp_path, runs, drawn_data):
    with pytest.raises(UserError, match=r"predicts boxes, not classes: .* evaluate with --task=localization"):
        call_verb(predict.main, [f"--model={runs / 'pcr'}", str(runs / "pcr" / "samples")], PredictOptions)
    with pytest.raises(UserError, match="predicts classes, not boxes; train one with --task=localization"):
        run(tmp_path / "out", runs, drawn_data, f"--model={runs / 'classes'}", "--method=center_crop")
    with pytest.raises(UserError, match="takes the classes from a classifier; name one with --classifier"):
        run(tmp_path / "out", runs, drawn_data, f"--model={runs / 'pcr'}")


def test_a_run_that_learns_boxes_says_so(runs):
    history = [json.loads(line) for line in (runs / "pcr" / "history.jsonl").read_text().splitlines()]
    assert 0 <= history[0]["validation_top1_error"] <= 100
    assert (runs / "pcr" / "curves.png").exists()


def test_a_localiser_is_validated_on_squashed_photos(tmp_path, runs, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--task=localization", "--epochs=1"]
    flags += [f"--init_from={runs / 'classes'}", "--validation_resize=squash", "--precision=float32"]
    call_verb(train.main, [*flags, f"--output_dir={tmp_path / 'run'}"], TrainConfig)
    examples = list(datasets.open_data(str(drawn_data)).encoded("validation", boxes=True).as_numpy_iterator())
    photos = np.stack([numpy_net.squashed(example["image_bytes"], 32) for example in examples])
    outputs = saving.load_model(tmp_path / "run" / "best.keras")(photos).numpy().reshape(len(photos), 5, 4)
    losses, overlaps = [], []
    for example, boxes in zip(examples, outputs, strict=True):
        ymin, xmin, ymax, xmax = true = max(example["boxes"].tolist(), key=lambda box: overlap(box, [0, 0, 1, 1]))
        x, y, width, height = boxes[example["label"]]
        difference = np.array([x - (xmin + xmax) / 2, y - (ymin + ymax) / 2, width - xmax + xmin, height - ymax + ymin])
        losses.append((difference**2).sum() / 2)
        overlaps.append(overlap([y - height / 2, x - width / 2, y + height / 2, x + width / 2], true))
    history = json.loads((tmp_path / "run" / "history.jsonl").read_text())
    assert history["validation_loss"] == pytest.approx(np.mean(losses), rel=1e-3)
    assert history["validation_mean_iou"] == pytest.approx(np.mean(overlaps), abs=1e-3)


def test_a_localiser_is_exported_after_its_training(tmp_path, runs, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--task=localization", "--epochs=1"]
    flags += [
        f"--init_from={runs / 'classes'}",
        f"--output_dir={tmp_path / 'run'}",
        f"--export_dir={tmp_path / 'served'}",
    ]
    call_verb(train.main, flags, TrainConfig)
    record = json.loads((tmp_path / "served" / "1" / "assets.extra" / "export.json").read_text())
    assert (record["task"], record["box_regression"]) == ("localization", "pcr")


@pytest.mark.parametrize(("source", "kind"), [("pcr", "pcr"), ("pcr", "scr"), ("scr", "scr"), ("scr", "pcr")])
def test_a_localiser_starts_from_another_one(tmp_path, runs, drawn_data, capsys, source, kind):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--max_steps=1", "--task=localization"]
    flags += [f"--box_regression={kind}", f"--init_from={runs / source}", f"--output_dir={tmp_path / 'run'}"]
    call_verb(train.main, flags, TrainConfig)
    printed = capsys.readouterr().out
    # FC-1024 at the width 1/8 gives 512 inputs; five classes have 20 sides, and one box has 4.
    sides = {"scr": 4, "pcr": 20}
    new = f"fc8_boxes ((512, {sides[source]}), here (512, {sides[kind]}))"
    assert ("fc6, fc7, fc8_boxes\n" in printed) == (source == kind)
    assert (new in printed) == (source != kind)


def test_a_classifier_starts_from_a_localiser(tmp_path, runs, drawn_data, capsys):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--max_steps=1", f"--init_from={runs / 'pcr'}"]
    call_verb(train.main, [*flags, f"--output_dir={tmp_path / 'run'}"], TrainConfig)
    printed = capsys.readouterr().out
    assert "new, with random weights: fc8\n" in printed
    assert "not used from it: fc8_boxes\n" in printed


@pytest.mark.parametrize("kind", ["scr", "pcr"])
def test_a_localiser_that_has_checkpoints_only_is_a_source(tmp_path, runs, kind):
    shutil.copytree(runs / kind, tmp_path / kind, ignore=shutil.ignore_patterns("best.keras"))
    whole, source = (read_weights(str(folder / kind), "A") for folder in (runs, tmp_path))
    assert source.metadata.box_regression == kind
    assert [array.shape for array in source.layers["fc8_boxes"]] == [array.shape for array in whole.layers["fc8_boxes"]]


def test_pretrained_makes_a_classifier_of_a_localiser_if_it_is_told_the_classes(tmp_path, runs):
    flags = [f"--source={runs / 'pcr'}", f"--output={tmp_path / 'a.keras'}"]
    with pytest.raises(UserError, match=r"best\.keras predicts boxes, not classes; give --num_classes, the number"):
        call_verb(pretrained.main, flags, PretrainedOptions)
    call_verb(pretrained.main, [*flags, "--num_classes=3"], PretrainedOptions)
    assert saving.load_model(tmp_path / "a.keras").output_shape == (None, 3)
    assert metadata.read(tmp_path / "a.keras", 3).box_regression == ""


@pytest.mark.parametrize(("split", "difficult"), [("train", (True, False)), ("validation", (False, True))])
def test_a_split_of_difficult_objects_alone_is_told_before_the_work(tmp_path, split, difficult):
    marked = [[("cat", 11, 11, 40, 40, *[True] * some)] for some in difficult]
    root = write_voc(tmp_path / "voc", {"train": {"a": marked[0]}, "val": {"b": marked[1]}})
    flags = [f"--source_dir={root}", f"--output_dir={tmp_path / 'data'}", "--num_workers=1"]
    call_verb(voc.main, flags, VocOptions)
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={tmp_path / 'data'}", f"--output_dir={tmp_path / 'run'}"]
    with pytest.raises(
        UserError, match=rf"no image of split '{split}' has a box that counts: of an object of its class"
    ):
        call_verb(train.main, [*flags, "--task=localization"], TrainConfig)
    assert not (tmp_path / "run" / "history.jsonl").exists()


def test_a_cache_changes_nothing_while_there_is_a_view_for_each_epoch(tmp_path, runs, drawn_data):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", "--task=localization", "--epochs=2"]
    flags += [f"--init_from={runs / 'classes'}", "--freeze_up_to=block4_pool"]
    histories = []
    for name, more in (("images", []), ("cached", ["--cache_views=2"])):
        call_verb(train.main, [*flags, *more, f"--output_dir={tmp_path / name}"], TrainConfig)
        lines = (tmp_path / name / "history.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        histories.append([[entry["training_loss"], entry["validation_mean_iou"]] for entry in entries])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-4)


@pytest.mark.parametrize("flag", ['--metrics={"accuracy": {}}', "--num_outputs=9"])
def test_what_a_localiser_has_not(tmp_path, drawn_data, flag):
    flags = [f"--flagfile={TINY_CONFIG}", f"--data_dir={drawn_data}", f"--output_dir={tmp_path}", "--task=localization"]
    with pytest.raises(UserError, match=f"{flag.partition('=')[0]} is for --task=classification"):
        call_verb(train.main, [*flags, flag], TrainConfig)


def test_what_a_classifier_has_not():
    with pytest.raises(UserError, match="--box_regression is for --task=localization; leave it out for classification"):
        TrainConfig(output_dir="x", box_regression="scr").validate()


def test_the_commands_that_come_next_can_be_given(tmp_path):
    run = TrainingResult(tmp_path / "my boxes", tmp_path / "data", "validation", 20.0, [], localizes=True)
    commands = [shlex.split(line.partition(":")[2]) for line in run.next_steps().splitlines() if "python -m" in line]
    verbs = {"evaluate": EvaluateOptions, "predict": PredictOptions, "export": ExportOptions, "report": ReportOptions}
    assert [words[2] for words in commands] == [f"vgg_keras.{verb}" for verb in verbs]
    tested, used, exported, shown = (
        parse(words[3:], options) for words, options in zip(commands, verbs.values(), strict=True)
    )
    assert shown.run == (str(tmp_path / "my boxes"),)
    assert (tested.task, tested.method) == ("localization", "center_crop")
    assert (used.model, used.classifier, used.paths) == (str(tmp_path / "my boxes"), "CLASSIFIER", ("PHOTOS",))
    assert exported.model == str(tmp_path / "my boxes" / "best.keras")
