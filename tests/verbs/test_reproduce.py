"""Tests the verb `reproduce` with a runner that notes what it is asked to run; and the shipped suites."""

import json

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.tasks import reproduction
from vgg_keras.tasks.options import EvaluateOptions, ReproduceOptions
from vgg_keras.tasks.suites import EVALUATE, SUITES, TRAIN
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import console, stopping
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

RESULTS = {TRAIN: "best.keras", EVALUATE: "evaluation.json"}


class Runner:
    """Makes the file that marks a step as finished, up to the step at which it returns a status."""

    def __init__(self, stop_at="", status=0):
        self.ran, self._stop_at, self._status = [], stop_at, status

    def __call__(self, module, arguments, folder):
        verb, flagfile = module.partition(".")[2], arguments[0].partition("=")[2]
        self.ran.append((verb, *arguments))
        if flagfile.endswith(self._stop_at) and self._stop_at:
            return self._status
        options = parse(arguments, {TRAIN: TrainConfig, EVALUATE: EvaluateOptions}[verb])
        result = folder / options.output_dir / RESULTS[verb]
        result.parent.mkdir(parents=True)
        images = {"data_set": "x", "split": "x", "num_images": 1, "num_classes": 2}
        record = {"nets": ["A"], "train_scales": ["32"], "test_scales": [[32]], "method": "dense", "flip": True}
        results = [{**record, "top1_error": 0.0, "top5_error": 0.0}]
        content = {"images": {**images, "sha256_of_classes_labels_sizes": "x"}, "results": results}
        result.write_text(json.dumps(content))
        return 0


def reproduce(folder, runner, **flags):
    with console.speaking(True):
        reproduction.reproduce(ReproduceOptions(output_dir=folder, **flags), runner)


def test_a_suite_goes_on_where_it_was_stopped(tmp_path, capsys):
    stopped = Runner("quick/vgg19.cfg", stopping.EXIT_STATUS)
    with pytest.raises(stopping.Stopped, match="stopped by SIGTERM; the same command goes on with the suite"):
        reproduce(tmp_path / "out", stopped)
    assert [arguments[1] for arguments in stopped.ran] == [
        f"--flagfile=configs/quick/{name}.cfg" for name in ("vgg11", "vgg16", "vgg19")
    ]
    capsys.readouterr()
    second = Runner()
    reproduce(tmp_path / "out", second)
    steps = [step.flagfile for step in SUITES["quick"].steps()]
    assert [arguments[1] for arguments in second.ran] == [f"--flagfile={flagfile}" for flagfile in steps[2:]]
    printed = capsys.readouterr().out
    assert f"step 3 of {len(steps)}: train configs/quick/vgg19.cfg; about 0 s left in all" in printed
    assert f"{len(steps) - 7} evaluations; written:" in printed
    third = Runner()
    reproduce(tmp_path / "out", third)
    assert third.ran == []


def test_a_step_whose_result_was_removed_is_done_again(tmp_path):
    reproduce(tmp_path, Runner())
    folder = tmp_path / "runs" / "quick" / "vgg16"
    (folder / "best.keras").unlink()
    folder.rmdir()
    again = Runner()
    reproduce(tmp_path, again)
    assert [arguments[1] for arguments in again.ran] == ["--flagfile=configs/quick/vgg16.cfg"]


def test_other_data_replace_those_of_the_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = Runner()
    reproduce(tmp_path / "out", runner, suite="cifar10", data_dir="data")
    by_verb = {arguments[0]: arguments[2:] for arguments in runner.ran}
    assert by_verb[TRAIN] == (f"--data_dir={tmp_path / 'data'}", "--dataset=", "--validation_split=validation")
    assert by_verb[EVALUATE] == (f"--data_dir={tmp_path / 'data'}", "--dataset=", "--split=validation")
    with pytest.raises(UserError, match=r"holds the suite cifar10 with --data_dir=.*; choose another --output_dir"):
        reproduce(tmp_path / "out", runner, suite="cifar10")


def test_a_step_that_fails_ends_the_suite(tmp_path):
    with pytest.raises(UserError, match=r"train configs/quick/vgg16.cfg failed with exit status 1, as told above"):
        reproduce(tmp_path, Runner("quick/vgg16.cfg", 1))


@pytest.mark.parametrize("name", SUITES)
def test_each_step_of_a_suite_comes_after_those_that_it_needs(name):
    made = set()
    for step in SUITES[name].steps():
        text = (ROOT / step.flagfile).read_text()
        assert text.startswith(f"# python -m vgg_keras.{step.verb} --flagfile={step.flagfile}\n")
        options = parse([f"--flagfile={step.flagfile}"], {TRAIN: TrainConfig, EVALUATE: EvaluateOptions}[step.verb])
        if step.verb == EVALUATE:
            needed = (*options.model, *options.classifier)
        else:
            needed = (options.init_from,) if options.init_from else ()
        for path in needed:
            folder = path.removesuffix("/posteriors.npz").removesuffix("/boxes.npz")
            assert folder in made, (step.name, path)
        made.add(options.output_dir)
        assert step.cost > 0
    assert len(made) == len(list(SUITES[name].steps()))


def test_every_shipped_flag_file_of_cifar10_and_quick_is_a_step():
    for name in ("quick", "cifar10"):
        shipped = {str(path.relative_to(ROOT)) for path in (ROOT / SUITES[name].folder).rglob("*.cfg")}
        bases = {path for path in shipped if path.endswith("/base.cfg")}
        assert {step.flagfile for step in SUITES[name].steps()} == shipped - bases


def test_the_localisers_of_imagenet_come_after_the_classifiers():
    steps = [step.flagfile.removeprefix("configs/") for step in SUITES["imagenet"].steps()]
    first = steps.index("vgg16_256_localization.cfg")
    assert steps[first - 1] == "tables/table6_vgg16_vgg19_both.cfg"
    assert steps[first:] == [
        *(f"vgg16_{name}.cfg" for name in ("256_localization", "384_localization", "384_localization_fc")),
        *("vgg16_384_localization_scr_fc.cfg", "tables/table8_vgg16_384_scr_fc.cfg", "tables/table8_vgg16_384_fc.cfg"),
        *("tables/table8_vgg16_384.cfg", "tables/table9_vgg16.cfg", "tables/table9_vgg16_384.cfg"),
        *("tables/table9_vgg16_384_two_scales.cfg", "tables/table9_fusion.cfg"),
    ]
