"""Tests the documentation's page of all configurations: that it is whole, up to date, and says whose an error is."""

import json
import re

import pytest

from tests.helpers import model_zoo
from tests.helpers.paths import ROOT


def test_the_page_is_up_to_date(monkeypatch):
    monkeypatch.chdir(ROOT)
    written = model_zoo.PAGE.read_text(encoding="utf-8")
    assert written == model_zoo.page(), "run: python -m tests.helpers.model_zoo"


def test_every_configuration_that_is_no_base_of_others_has_its_row():
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.cfg")}
    included = set()
    for config in configs:
        names = re.findall(r"^--flagfile=(\S+)", (ROOT / config).read_text(encoding="utf-8"), re.MULTILINE)
        included |= {f"{config.rpartition('/')[0]}/{name}" for name in names}
    listed, command = [], ""
    for line in model_zoo.PAGE.read_text("utf-8").splitlines():
        command = line if line.startswith("python -m") else command
        name = re.match(r"\| (\w+) \|", line)
        if name and name[1] != "NAME":
            listed.append(command.replace("NAME", name[1]).partition("--flagfile=")[2])
            verb = command.split()[2]
            assert (ROOT / listed[-1]).read_text("utf-8").startswith(f"# python -m {verb} --flagfile={listed[-1]}\n")
    assert len(listed) == len(set(listed))
    without = configs - set(listed)
    assert without <= included
    assert all("base" in config or config.endswith("/caltech.cfg") for config in without), without


def test_what_was_measured_is_of_configurations():
    measured = json.loads(model_zoo.MEASURED.read_text(encoding="utf-8"))
    for config, one in measured.items():
        assert (ROOT / config).is_file(), config
        assert set(one) <= {"time", "error", "file", "sha256"}
        assert ("file" in one) == ("sha256" in one)
        assert re.fullmatch(r"[0-9a-f]{64}", one.get("sha256", "0" * 64))


@pytest.mark.parametrize(
    ("head", "measured", "time", "error"),
    [
        (
            "Net A. Time: not run. Expected (Table 3, dense, Q = 256): top-1 29.6%, top-5 10.4%.",
            {},
            "",
            "top-1 29.6%, top-5 10.4%, *the paper's* (Table 3, dense, Q = 256)",
        ),
        (
            "Net A. Time: 1.8 hours on 2 cores. Expected: 7.9%. That was seen on x.",
            {},
            "1.8 hours on 2 cores",
            "**7.9%**",
        ),
        ("Net A. Time: not run. Expected on X test: mAP 9%.", {}, "", "mAP 9%, *the paper's* (X test)"),
        ("Net A. Time: not run. Expected: not known; with another 27.0%.", {}, "", ""),
        ("Net A. Time: @@. Expected: see docs/results.md.", {"time": "2 h", "error": "5%"}, "2 h", "**5%**"),
        ("Net A. Time: @@. Expected: see docs/results.md.", {}, "", ""),
    ],
)
def test_whose_an_error_is(head, measured, time, error, monkeypatch):
    monkeypatch.chdir(ROOT)
    row = model_zoo.entry("configs/vgg11.cfg", "vgg_keras.train", head, measured)
    assert (row.what, row.data, row.time, row.error) == ("Net A", "data/imagenet", time, error)


def test_what_a_suite_has_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    steps = {"train configs/quick/vgg11.cfg": 90, "evaluate configs/quick/tables/vgg11.cfg": 61}
    (tmp_path / "reproduce.json").write_text(json.dumps({"seconds": steps}))
    run, test = tmp_path / "runs/quick/vgg11", tmp_path / "evaluations/quick/vgg11"
    run.mkdir(parents=True)
    test.mkdir(parents=True)
    (run / "history.jsonl").write_text('{"validation_top1_error": 7.25}\n{"validation_top1_error": 9}\n')
    (run / "best.keras").write_bytes(b"abc")
    (test / "evaluation.json").write_text('{"results": [{"top1_error": 4.0}, {"top1_error": 5.5}]}')
    of_run, of_test = model_zoo.measurements(tmp_path, "2 CPU cores").values()
    assert (of_run["time"], of_run["error"], of_run["file"]) == (
        "90 s on 2 CPU cores",
        "7.2%",
        "best.keras",
    )
    # The SHA-256 of "abc" in FIPS 180-2, appendix B.1.
    assert of_run["sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert of_test == {"time": "61 s on 2 CPU cores", "error": "5.5%"}
