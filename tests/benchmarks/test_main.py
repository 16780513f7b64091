"""Tests `python -m benchmarks`: the choice of benchmarks, and what it does on a busy machine."""

import contextlib
import json
import os
import time

import pytest

from benchmarks.__main__ import BenchmarksOptions, main
from benchmarks.harness import environment, load, runner, sides, suite
from benchmarks.harness.definitions import Benchmark, Figure
from benchmarks.harness.report import Compared
from tests.helpers.busy import busy_outside
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError

NAMES = [
    "all_reduce",
    "data_preparation",
    "dense_evaluation",
    "dense_inference",
    "epoch_end",
    "epoch_resume",
    "fixed_cost",
    "input_pipeline",
    "memory_reuse",
    "optimizer_step",
    "serving_batches",
    "serving_precision",
    "training_step",
    "whole_commands",
]


@pytest.fixture
def fake(monkeypatch):
    """Replaces the benchmarks by one, whose sides wait, and returns a list of figures that a test can change."""
    figures = [Figure(name="waiting", ours=sides.timed(lambda: time.sleep(0.2)), peer=sides.timed(lambda: None))]
    benchmark = Benchmark(ours="o", peer="p", warm_ups=0, prepare=lambda settings: contextlib.nullcontext(figures))
    monkeypatch.setattr(suite, "load", lambda name: benchmark)
    monkeypatch.setattr(environment, "describe", lambda: {"CPU": "fake"})
    return figures


def call(*arguments):
    call_verb(main, arguments, BenchmarksOptions)


def test_every_module_is_a_benchmark_that_says_what_it_measures():
    assert suite.names() == NAMES
    for name in NAMES:
        compared = suite.load(name)
        assert isinstance(compared, Benchmark)
        assert compared.ours
        assert compared.peer
        assert str(Compared(suite.summary(name), compared.ours, compared.peer, compared.ceiling)).endswith(".")


def test_the_list(capsys):
    call("--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert "fixed_cost         Measures what a verb costs that has nothing to do: " in "\n".join(lines)


def test_a_mistyped_name():
    with pytest.raises(UserError, match=r"^input_pipline is not a benchmark; did you mean input_pipeline\?$"):
        call("fixed_cost", "input_pipline")
    with pytest.raises(UserError, match=r"^xyz is not a benchmark; there are all_reduce, data_preparation, "):
        call("xyz")


def test_an_input_that_does_not_exist_is_refused_before_any_work(tmp_path):
    for flag in ("data_dir", "model"):
        with pytest.raises(UserError, match=rf"^--{flag}=.*absent does not exist"):
            call(f"--{flag}={tmp_path / 'absent'}")


def test_a_name_counts_once():
    assert suite.choose(["memory_reuse", "fixed_cost", "memory_reuse"]) == ["memory_reuse", "fixed_cost"]
    assert suite.choose([]) == NAMES


def test_a_folder_that_exists_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--output_dir=.* exists; remove it or choose another"):
        call("--quick", f"--output_dir={tmp_path}")


@pytest.mark.skipif(load.read().machine is None, reason="this system has no /proc/stat")
@pytest.mark.multiprocess
def test_a_busy_machine_is_refused(fake, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "FULL", runner.Plan(pairs=2, min_seconds=0.0))
    # On a machine of many cores, one busy process is less than a twentieth.
    monkeypatch.setattr(load, "BUSY_SHARE", 0.05 / os.cpu_count())
    with (
        busy_outside(),
        pytest.raises(UserError, match=r"other processes used the machine during 1 figure, .*on a quiet machine$"),
    ):
        call("fixed_cost", f"--output_dir={tmp_path / 'out'}")
    assert "busy machine: not quotable (2 of 2 pairs, up to " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "benchmarks.json",
        "benchmarks.not_quotable.md",
    ]
    assert json.loads((tmp_path / "out" / "benchmarks.json").read_text())["quotable"] is False


def test_a_quiet_machine_is_quoted(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "others_share", lambda before, after: 0.01)
    call("fixed_cost", f"--output_dir={tmp_path / 'out'}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["benchmarks.json", "benchmarks.md"]
    content = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert (content["quotable"], content["quick"], len(content["rows"][0]["pairs"])) == (True, False, 6)


def test_a_benchmark_that_fails_does_not_lose_the_others(fake, tmp_path, monkeypatch, capsys):
    def fail():
        raise UserError("no memory")

    monkeypatch.setattr(load, "others_share", lambda before, after: 0.01)
    fake.append(Figure(name="failing", ours=fail, peer=fail))
    with pytest.raises(UserError, match=r"^2 benchmarks failed: fixed_cost, memory_reuse$"):
        call("fixed_cost", "memory_reuse", f"--output_dir={tmp_path / 'out'}")
    assert "memory_reuse failed: no memory" in capsys.readouterr().err
    content = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert [row["benchmark"] for row in content["rows"]] == ["fixed_cost", "memory_reuse"]
    assert content["failed"] == {"fixed_cost": "no memory", "memory_reuse": "no memory"}


@pytest.mark.slow
@pytest.mark.multiprocess
def test_the_short_form_of_one_benchmark(run_verb, tmp_path):
    # The machine is busy with this process, which is outside of the tree of the benchmark's processes.
    code, stdout, stderr = run_verb("benchmarks", "fixed_cost", "--quick", "--output_dir=out")
    assert (code, stderr) == (0, "")
    assert "quick: not quotable" in stdout
    text = (tmp_path / "out" / "benchmarks.md").read_text()
    assert "| fixed_cost: train --nett=A, a mistyped flag | " in text
    content = json.loads((tmp_path / "out" / "benchmarks.json").read_text())
    assert (content["quotable"], content["quick"], len(content["rows"])) == (False, True, 1)
    assert {"CPU", "cores", "memory", "bfloat16", "TensorFlow", "Keras", "NumPy", "Python", "vgg_keras", "date"} <= set(
        content["environment"]
    )


def test_the_help_names_the_flags(run_verb):
    code, stdout, _ = run_verb("benchmarks", "--help")
    assert code == 0
    assert "--quick" in stdout
    assert "usage: python -m benchmarks " in stdout
