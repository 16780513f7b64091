"""Tests that names of files and classes, whatever they hold, pass from the photos to tables, files and pictures."""

import csv
import json
import os
import re

import pytest

from tests.helpers.evaluation_data import CLASSES, photo, save_net, write_photos
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate, predict
from vgg_keras.tasks.options import EvaluateOptions, PredictOptions

LABELS = ("[/b] [red]", "=1+1", "<b>|`*", "\x1b[31m", "$x^", "猫")
CSV_LABELS = {"[/b] [red]", "'=1+1", "<b>|`*", "\\x1b[31m", "$x^", "猫"}
FILES = (
    b"=cmd.jpg",
    b"[/b].jpg",  # in a folder "["
    b"$a$ $\\frac{.jpg",
    b"\x1b[2J.jpg",
    b"caf\xe9.jpg",
    b"line\nbreak.jpg",
    b"x" * 251 + b".jpg",
    "\u202egpj.jpg".encode(),
)
SHOWN = (
    "=cmd.jpg", "[/b].jpg", "$a$ $\\frac{.jpg", "\\x1b[2J.jpg", "caf\\xe9.jpg", "line\\nbreak.jpg", "x" * 251 + ".jpg",
    "\\u202egpj.jpg",
)  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Makes a run with the labels in run/ and a photo of each name in photos/; works in their folder."""
    monkeypatch.chdir(tmp_path)
    save_net("A", tmp_path / "run")
    (tmp_path / "run" / "label_names.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for name in FILES:
        path = tmp_path / "photos" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo(1, (40, 30)))
    return tmp_path


def test_predict(place, capsys):
    flags = ["--output_dir=out", "--class_score_maps", "--csv=tables/all.csv", "--json=tables/all.json", "--top=6"]
    call_verb(predict.main, ["--model=run", *flags, "photos"], PredictOptions)
    printed, _ = capsys.readouterr()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\udc80-\udcff]", printed)
    for text in (*SHOWN[:6], "[/b] [red] 0.", "=1+1 0.", "\\x1b[31m 0.", "猫 0."):
        assert text in printed
    rows = list(csv.reader((place / "tables" / "all.csv").open(encoding="utf-8", newline="")))
    assert {row[0] for row in rows[1:]} == {f"photos/{name}" for name in SHOWN}
    assert {row[2] for row in rows[1:]} == CSV_LABELS
    found = json.loads((place / "tables" / "all.json").read_text(encoding="utf-8"))
    assert {label["label"] for label in found[0]["labels"]} == set(LABELS)
    # JSON keeps all of a name that is text.
    assert {entry["file"] for entry in found} >= {"photos/line\nbreak.jpg", "photos/\x1b[2J.jpg", "photos/caf\\xe9.jpg"}
    assert len(list((place / "out").iterdir())) == 2 * len(FILES)


def test_a_photo_in_the_working_folder_is_no_formula(place):
    os.chdir(place / "photos")
    call_verb(predict.main, ["--model=../run", "--csv=../all.csv", "=cmd.jpg"], PredictOptions)
    assert (place / "all.csv").read_text(encoding="utf-8").splitlines()[1].startswith("'=cmd.jpg,1,")


def test_evaluate(tmp_path, capsys):
    # The classes of records need not come from data_prep, which refuses names that are no text.
    save_net("A", tmp_path / "run")
    data = write_photos([photo(index, (40, 30)) for index in range(6)], tmp_path / "data")
    (tmp_path / "data" / "label_names.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    assert data.class_names == CLASSES
    flags = [f"--model={tmp_path / 'run'}", f"--data_dir={tmp_path / 'data'}", f"--output_dir={tmp_path / 'out'}"]
    call_verb(evaluate.main, flags, EvaluateOptions)
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert r"| &lt;b>\|\`\* | 1 |" in report
    assert r"| \\x1b[31m | 1 |" in report
    assert "\x1b" not in report
    rows = list(csv.reader((tmp_path / "out" / "predictions.csv").open(encoding="utf-8", newline="")))
    assert {row[2] for row in rows[1:]} == CSV_LABELS
    assert (tmp_path / "out" / "pictures" / "confusion_matrix.png").exists()
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.multiprocess
def test_a_terminal_of_ascii(place, run_verb):
    ascii_terminal = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (place / "photos" / "Blüte.jpg").write_bytes(photo(1, (40, 30)))
    code, stdout, stderr = run_verb(
        "vgg_keras.predict", "--model=run", "--csv=all.csv", "--top=6", "photos", env=ascii_terminal
    )
    assert (code, "Traceback" in stderr) == (0, False), stderr
    assert "Bl?te.jpg" in stdout
    assert "? 0." in stdout  # the cat
    rows = list(csv.reader((place / "all.csv").open(encoding="utf-8", newline="")))
    assert {"photos/Blüte.jpg", "photos/caf\\xe9.jpg"} <= {row[0] for row in rows}
    for kind in ("Blüte", "猫"):
        (place / "kinds" / kind).mkdir(parents=True)
        for number in range(2):
            (place / "kinds" / kind / f"{number}.jpg").write_bytes(photo(number, (40, 30)))
    arguments = ("--source_dir=kinds", "--num_workers=1")
    code, stdout, stderr = run_verb("data_prep.image_folder", *arguments, "--output_dir=data/x", env=ascii_terminal)
    assert code == 0, stderr
    assert "Bl?te" in stdout
    assert (place / "data" / "x" / "label_names.txt").read_text(encoding="utf-8") == "Blüte\n猫\n"
    code, _, stderr = run_verb("data_prep.image_folder", *arguments, "--output_dir=data/Blüten", env=ascii_terminal)
    assert code == 1
    assert stderr == (
        "error: --output_dir=data/Bl\\xfcten: TensorFlow needs a path in UTF-8; choose another name, or, if this one "
        "is UTF-8, set the environment variable PYTHONUTF8=1\n"
    )
