"""Tests the pages of runs and evaluations, in headless Chromium where it is there."""

import json
import re
import shutil

import pytest
from selenium.webdriver.common.by import By

from tests.helpers import browser
from tests.helpers.paths import ROOT
from tests.helpers.verbs import call_verb
from vgg_keras import report
from vgg_keras.tasks import evaluation, training
from vgg_keras.tasks.options import EvaluateOptions, ReportOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

pytestmark = pytest.mark.slow
in_browser = pytest.mark.skipif(bool(browser.WHY_NONE), reason=browser.WHY_NONE)
TINY = f"--flagfile={ROOT}/tests/helpers/tiny.cfg"


def train(folder, data, *flags):
    training.train_model(parse([TINY, f"--data_dir={data}", "--report", f"--output_dir={folder}", *flags], TrainConfig))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, drawn_data):
    """Trains a net for an epoch, which writes its page."""
    return train(tmp_path_factory.mktemp("runs") / "one <epoch>", drawn_data, "--epochs=1", "--learning_rate=1e-3")


@pytest.fixture(scope="module")
def other_run(run, drawn_data):
    """Trains another net, without a page."""
    return train(run.parent / "two", drawn_data, "--epochs=2", "--noreport", "--dropout=0.25")


@pytest.fixture(scope="module")
def tested(run, drawn_data):
    """Tests the run's net."""
    folder = run.parent / "evaluation"
    evaluation.evaluate_model(
        EvaluateOptions(model=run, data_dir=drawn_data, split="validation", output_dir=folder, flip=False)
    )
    return folder


@pytest.fixture(scope="module")
def boxes(run, drawn_data):
    """Trains a localizer from the run's net, and tests it; returns its folder and that of the evaluation."""
    flags = ["--task=localization", "--box_regression=scr", f"--init_from={run}", "--epochs=1"]
    folder = train(run.parent / "boxes", drawn_data, *flags)
    tested = run.parent / "tested_boxes"
    evaluation.evaluate_model(
        EvaluateOptions(
            task="localization",
            model=folder,
            data_dir=drawn_data,
            split="validation",
            output_dir=tested,
            method="center_crop",
            flip=False,
        )
    )
    return folder, tested


def headings(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_the_page_of_a_run(run, drawn_data):
    text = (run / "report.html").read_text()
    assert "<h1>one &lt;epoch&gt;: net A</h1>" in text
    found = headings(text)
    assert found[:5] == ["The run", "Curves", "Training photos", "First-layer filters", "Error by class"]
    assert found[5:8] == ["Confusion", "Calibration", "Worst mistakes"]
    assert found[-3:] == ["Class-score maps", "Settings", "Next"]
    # 16 augmented photos, and the 8 filters of an eighth of 64.
    assert text.count(", augmented") == 16
    assert text.count("of the first layer") == 8
    assert f"--data_dir={drawn_data}" in text
    assert "60 photos in train, 35 photos in validation" in text
    for flag, value in {"learning_rate": "0.001", "net": "A", "width_multiplier": "0.125"}.items():
        assert f"<td>{flag}</td><td>{value}</td>" in text


def test_the_page_shows_what_the_run_measured(run):
    entry = json.loads((run / "history.jsonl").read_text())
    text = (run / "report.html").read_text()
    assert f"Top-1 error {entry['validation_top1_error']:.2f}% on validation of 35 photos" in text
    # The confusion's off-diagonal and the bars come from a test of the saved model; both are the same error.
    assert f"all images: {entry['validation_top1_error']:.1f}%" in text


def test_no_page_is_written_unless_asked_for(other_run):
    assert not (other_run / "report.html").exists()


def test_runs_side_by_side(run, other_run, capsys):
    call_verb(report.main, [f"--run={run}", f"--run={other_run}"], ReportOptions)
    path = run.parent / "report.html"
    assert f"written: {path}" in capsys.readouterr().out
    text = path.read_text()
    assert headings(text) == ["The runs", "Validation", "Settings that differ"]
    differing = text[text.index("Settings that differ</h2>") :]
    assert re.findall(r"<tr><td>(\w+)</td>", differing) == [
        "output_dir", "epochs", "learning_rate", "dropout", "report",
    ]  # fmt: skip


def test_runs_of_different_tasks_are_not_compared(run, boxes):
    with pytest.raises(
        UserError, match=r"^--run names runs whose errors mean different things \(.*boxes of localization"
    ):
        call_verb(report.main, [f"--run={run}", f"--run={boxes[0]}"], ReportOptions)
    assert "Here a box is right if it fits any object of its class." in (boxes[0] / "report.html").read_text()


def test_runs_of_the_same_name_are_told_apart(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / run.name)
    output = tmp_path / "page.html"
    call_verb(report.main, [f"--run={run}", f"--run={copy}", f"--output={output}"], ReportOptions)
    names = re.findall(r'<th scope="col">([^<]+)</th>', output.read_text())
    assert [name.replace("&lt;", "<").replace("&gt;", ">") for name in names[:2]] == [str(run), str(copy)]


def test_a_run_whose_data_and_model_are_gone(run, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(run, folder)
    (folder / "best.keras").unlink()
    content = (folder / "run.json").read_text()
    (folder / "run.json").write_text(re.sub(r'"data_dir": "[^"]*"', '"data_dir": "/nowhere/data"', content))
    output = tmp_path / "page.html"
    call_verb(report.main, [f"--run={folder}", f"--output={output}"], ReportOptions)
    text = output.read_text()
    assert headings(text) == ["The run", "Curves", "Photos", "Settings"]
    assert "/nowhere/data" in text


def test_a_damaged_training_photo_is_named(run, drawn_data, tmp_path):
    folder, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(run, folder)
    shutil.copytree(drawn_data, data)
    (shard,) = data.glob("*-train.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[500::200] = bytes(255 - byte for byte in content[500::200])
    shard.write_bytes(content)
    content = (folder / "run.json").read_text()
    (folder / "run.json").write_text(re.sub(r'"data_dir": "[^"]*"', f'"data_dir": "{data}"', content))
    with pytest.raises(UserError, match=rf"^{data}: {shard.name}: record \d+ is damaged: .* data_prep\.verify"):
        call_verb(report.main, [f"--run={folder}"], ReportOptions)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "run.json").unlink(), r"run is not the folder of a run, since it has no run\.json"),
        (lambda folder: (folder / "run.json").write_text("{"), "run.json"),
        (lambda folder: (folder / "best.keras").write_bytes(b"PK"), "best.keras"),
        (lambda folder: (folder / "history.jsonl").write_text("[]\n"), "history.jsonl"),
    ],
)
def test_a_damaged_run_is_refused(run, tmp_path, damage, message):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "report.html").unlink()
    damage(folder)
    with pytest.raises(UserError, match=message):
        call_verb(report.main, [f"--run={folder}"], ReportOptions)
    assert not (folder / "report.html").exists()


def test_the_page_of_an_evaluation(tested):
    text = (tested / "report.html").read_text()
    assert headings(text)[:3] == ["Results", "Error by class", "Confusion"]
    assert headings(text)[-2:] == ["Class-score maps", "Settings"]


def test_the_pages_of_a_localizer(boxes):
    """The run tests its best model as the evaluation does, so that both show the same boxes."""
    fit = ["How well the boxes fit", "Error by class", "Worst boxes", "Boxes"]
    run_page, evaluation_page = [(folder / "report.html").read_text() for folder in boxes]
    assert headings(run_page)[3:8] == ["First-layer filters", *fit]
    assert headings(evaluation_page) == ["Results", *fit, "Settings"]
    record = json.loads((boxes[1] / "evaluation.json").read_text())["results"][-1]
    entry = json.loads((boxes[0] / "history.jsonl").read_text())
    wrong = round(record["top1_error"] * 35 / 100)
    # Training measures it before boxes are cut at the photo's border; whether that matters depends on the machine.
    assert entry["validation_top1_error"] >= record["top1_error"]
    for text, error in ((run_page, entry["validation_top1_error"]), (evaluation_page, record["top1_error"])):
        assert f"Localization error {error:.2f}%" in text
        assert f"{35 - wrong} of 35 are above 0.5" in text
        assert text.count('alt="box: ') == 16 + min(wrong, 8)
    pictures = [re.findall(r'<img src="([^"]*)" alt="box: ', text) for text in (run_page, evaluation_page)]
    assert pictures[0] == pictures[1]


@in_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 390])
def test_pages_in_a_browser(run, other_run, tested, boxes, width, dark):
    call_verb(report.main, [f"--run={run}", f"--run={other_run}"], ReportOptions)
    with browser.browser(width, dark=dark) as driver:
        for folder in (run, run.parent, tested, *boxes):
            path = folder / "report.html"
            browser.open_page(driver, path)
            assert browser.complaints(driver) == []
            # Nothing but wide tables and charts, which scroll by themselves, is wider than the window.
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width
            sizes = driver.execute_script("return [...document.images].map(image => image.naturalWidth)")
            assert all(size > 0 for size in sizes)
            colour = driver.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
            red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
            assert (max(red, green, blue) < 64) if dark else (min(red, green, blue) > 192)
            chart = driver.find_elements(By.CSS_SELECTOR, ".chart svg")[0]
            assert chart.size["width"] > 200
            for folded in driver.find_elements(By.TAG_NAME, "details"):
                folded.find_element(By.TAG_NAME, "summary").click()
                assert folded.find_element(By.TAG_NAME, "table").is_displayed()
