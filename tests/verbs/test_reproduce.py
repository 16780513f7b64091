"""Tests the verb `reproduce` with a runner that notes what it is asked to run; and the shipped suites."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.verbs import call_verb
from vgg_keras import reproduce as verb
from vgg_keras.tasks import reproduction
from vgg_keras.tasks.options import EvaluateOptions, ReproduceOptions
from vgg_keras.tasks.suites import EVALUATE, SUITES, TRAIN
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import console, locks, stopping
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
        result.parent.mkdir(parents=True, exist_ok=True)
        images = {"data_set": "x", "split": "x", "num_images": 1, "num_classes": 2}
        record = {"nets": ["A"], "train_scales": ["32"], "test_scales": [[32]], "method": "dense", "flip": True}
        results = [{**record, "top1_error": 0.0, "top5_error": 0.0}]
        content = {"images": {**images, "sha256_of_classes_labels_images": "x"}, "results": results}
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


def test_a_step_whose_result_was_removed_is_done_again_with_all_that_follow_from_it(tmp_path):
    reproduce(tmp_path, Runner())
    folder = tmp_path / "runs" / "quick" / "vgg16"
    (folder / "best.keras").unlink()
    folder.rmdir()
    again = Runner()
    reproduce(tmp_path, again)
    follow = ["vgg16", "vgg16_40", "vgg16_32_48", *(f"tables/vgg16{end}" for end in ("", "_40", "_32_48", "_vgg19"))]
    assert [arguments[1] for arguments in again.ran] == [f"--flagfile=configs/quick/{name}.cfg" for name in follow]


def test_a_removed_run_that_is_killed_in_its_second_training_is_not_finished(tmp_path):
    reproduce(tmp_path, Runner())
    best = tmp_path / "runs" / "quick" / "vgg16" / "best.keras"
    best.unlink()
    with pytest.raises(UserError, match="failed"):
        reproduce(tmp_path, Runner("quick/vgg16.cfg", 1))
    best.touch()  # as a run has it from its first epoch on
    again = Runner()
    reproduce(tmp_path, again)
    assert again.ran[0][1] == "--flagfile=configs/quick/vgg16.cfg"


def test_other_data_replace_those_of_the_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    runner = Runner()
    reproduce(tmp_path / "out", runner, suite="cifar10", data_dir="data")
    by_verb = {arguments[0]: arguments[2:] for arguments in runner.ran}
    assert by_verb[TRAIN] == (f"--data_dir={tmp_path / 'data'}", "--dataset=", "--validation_split=validation")
    assert by_verb[EVALUATE] == (f"--data_dir={tmp_path / 'data'}", "--dataset=", "--split=validation")
    with pytest.raises(UserError, match=r"holds the suite cifar10 with --data_dir=.*; choose another --output_dir"):
        reproduce(tmp_path / "out", runner, suite="cifar10")


def test_the_steps_are_listed_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call_verb(verb.main, ["--suite=imagenet", "--list"], ReproduceOptions)
    assert "table9_fusion.cfg" in capsys.readouterr().out
    call_verb(verb.main, ["--suite=cifar10", "--output_dir=out", "--data_dir=absent", "--list"], ReproduceOptions)
    assert "37 steps" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="failed"):
        reproduce(tmp_path / "out", Runner("quick/vgg16.cfg", 1))
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    with locks.locked(tmp_path / "out"):  # as while the suite runs
        call_verb(verb.main, ["--output_dir=out", "--list"], ReproduceOptions)
    printed = capsys.readouterr().out
    assert (printed.count("done in"), printed.count("to do")) == (1, 14)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(UserError, match=r"--output_dir is missing: .* --list"):
        ReproduceOptions()


def test_missing_data_are_named_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    looked = "looks for its data in out/data/imagenet, which does not exist; name them with --data_dir of"
    example = "vgg_keras.reproduce, such as --data_dir=data/imagenet"
    with pytest.raises(UserError, match=f"{looked} {example}, once they are prepared"):
        reproduce("out", Runner(), suite="imagenet")
    (tmp_path / "data" / "imagenet").mkdir(parents=True)
    with pytest.raises(UserError, match=f"{looked} {example}, which exists here"):
        reproduce("out", Runner(), suite="imagenet")
    with pytest.raises(UserError, match="--data_dir=data/imagent does not exist; did you mean imagenet"):
        reproduce("out", Runner(), suite="imagenet", data_dir="data/imagent")
    assert not (tmp_path / "out").exists()
    runner = Runner()
    reproduce("out", runner, suite="imagenet", data_dir="data/imagenet")
    assert runner.ran[0][2] == f"--data_dir={tmp_path / 'data' / 'imagenet'}"


def test_a_step_that_fails_ends_the_suite(tmp_path):
    with pytest.raises(UserError, match=r"train configs/quick/vgg16.cfg failed with exit status 1, as told above"):
        reproduce(tmp_path, Runner("quick/vgg16.cfg", 1))
    # A test refuses to replace that of another model, and the suite runs it with no other folder.
    tested = tmp_path / "evaluations" / "quick" / "vgg11"
    with pytest.raises(UserError, match=rf"\(if its model has been trained anew, remove {tested} first\)"):
        reproduce(tmp_path, Runner("quick/tables/vgg11.cfg", 1))


def stop(number, line, seconds=0.0, **flags):
    """Starts the quick suite, and sends a signal to its process group, as a terminal does, some time after a line.

    Returns:
        The lines until then, those after it, what stands on stderr, and the exit status.
    """
    given = [f"--{name}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", "vgg_keras.reproduce", "--suite=quick", *given]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as process:
        before = []
        while not before or line not in before[-1]:
            before.append(process.stdout.readline())
            assert before[-1], process.stderr.read()
        time.sleep(seconds)
        os.killpg(process.pid, number)
        after, stderr = process.communicate(timeout=300)
    return "".join(before), after, stderr, process.returncode


# As the step's process starts, before it has handlers of its own; as it has them, or loads its libraries.
@pytest.mark.multiprocess
@pytest.mark.parametrize("seconds", [0, 0.05, 0.5, 2])
def test_ctrl_c_before_a_step_works_leaves_one_line(tmp_path, seconds):
    _, after, stderr, status = stop(signal.SIGINT, "step 1 of", seconds, output_dir=tmp_path)
    assert (status, after, stderr) == (75, "", "stopped by SIGINT; the same command goes on with the suite\n")


@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_step_that_is_stopped_leaves_the_last_line_and_the_advice_to_the_suite(tmp_path, drawn_data):
    flags = {"data_dir": drawn_data, "output_dir": tmp_path}
    _, after, stderr, status = stop(signal.SIGINT, "epoch 1 of", **flags)
    assert (status, stderr) == (75, "stopped by SIGINT; the same command goes on with the suite\n")
    assert "SIG" not in after
    before, after, stderr, status = stop(signal.SIGTERM, "step 2 of", **flags)
    # The first step ends with a page, of whose test the progress is told.
    assert (status, stderr.splitlines()[-1]) == (75, "stopped by SIGTERM; the same command goes on with the suite")
    assert stderr.count("stopped") == 1
    first = before[before.index("step 1 of") :]
    assert "continuing at epoch" in first
    assert "best model: runs/quick/vgg11/best.keras, top-1 error" in first
    assert not {"python", "tensorboard"} & set(first.split())


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
