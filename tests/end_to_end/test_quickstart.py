"""Runs the quick start of the README, which needs no data and no network, from training to evaluation."""

import json
import re
import shlex

import pytest


@pytest.mark.slow
@pytest.mark.multiprocess
def test_quickstart_learns_exports_and_says_what_is_next(run_verb, tmp_path):
    code, stdout, stderr = run_verb("vgg_keras.train", "--flagfile=configs/quickstart.cfg")
    assert code == 0, stderr
    history = [json.loads(line) for line in (tmp_path / "runs/quickstart/history.jsonl").read_text().splitlines()]
    assert len(history) == 5
    assert min(entry["validation_top1_error"] for entry in history) < 10
    assert history[-1]["validation_num_images"] == 200
    assert {"learning_rate", "images_per_second", "training_loss", "training_top5_error"} <= history[-1].keys()
    run = json.loads((tmp_path / "runs/quickstart/run.json").read_text())
    assert run["flags"]["net"] == "A"
    assert {"tensorflow", "keras", "python", "vgg_keras"} == run["versions"].keys()
    assert (tmp_path / "runs/quickstart/label_names.txt").read_text().split() == [
        "daisy", "dandelion", "rose", "sunflower", "tulip",
    ]  # fmt: skip
    assert (tmp_path / "saved_models/quickstart/1/saved_model.pb").exists()
    assert "best model: runs/quickstart/best.keras" in stdout
    assert "saved_models/quickstart/1" in stdout.splitlines()[-2] + stdout.splitlines()[-1]

    # The command that training printed evaluates the model.
    (command,) = re.findall(r"python -m (vgg_keras\.evaluate .*)", stdout)
    code, stdout, stderr = run_verb(*shlex.split(command), "--test_scales=multi")
    assert code == 0, stderr
    evaluated = json.loads((tmp_path / "evaluations/quickstart/evaluation.json").read_text())["results"][-1]
    assert (evaluated["method"], evaluated["test_scales"]) == ("dense", [[72, 84, 96]])
    assert evaluated["num_images"] == 200
    assert evaluated["top1_error"] < 10
    assert "evaluations/quickstart/report.md" in stdout
