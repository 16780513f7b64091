"""Tests the report: its pictures, which show only the worst of many classes, and its text."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.evaluation_data import photo, write_photos
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import figures, markdown_report, results, tables
from vgg_keras.evaluation.highlights import FinishedEvaluation, Highlights

CLASSES = [f"class {index:02}" for index in range(30)]


@pytest.fixture
def finished(tmp_path):
    """Makes an evaluation of 90 photos of 30 classes."""
    return make_evaluation(tmp_path, CLASSES)


def make_evaluation(folder, classes):
    """Makes an evaluation of 90 photos.

    All photos of the first four classes are taken for the next class, and one of each of the four after them.
    """
    data = write_photos([photo(index, (40, 30)) for index in range(90)], folder / "data", classes=classes)
    manifest = SplitManifest.read(data, "validation")
    count = len(classes)
    posteriors = np.full((90, count), 0.1 / (count - 1), np.float32)
    seen = dict.fromkeys(range(count), 0)
    for index, label in enumerate(manifest.labels.tolist()):
        wrong = label < 4 or (label < 8 and seen[label] == 0)
        posteriors[index, (label + 1) % count if wrong else label] = 0.9 - index / 1000
        seen[label] += 1
    last = {
        "nets": ["D", "E"], "train_scales": ["256,512"] * 2, "test_scales": [[384], [384]], "method": "both",
        "flip": True, "loss": 0.5, "top1_error": 17.78, "top5_error": 0.0, "num_images": 90, "top1_mistakes": 16,
        "top5_mistakes": 0, "images_per_second": 12.0, "paper": {"table": 6, "top1_error": 23.7, "top5_error": 6.8},
    }  # fmt: skip
    record = {
        "settings": {"method": "both"},
        "images": manifest.identity(),
        "models": [],
        "versions": {"keras": "3"},
        "devices": "one CPU",
        "results": [last],
        "classes": results.class_records(posteriors, manifest),
    }
    return FinishedEvaluation(record, posteriors, manifest, [])


def write(finished, folder):
    """Writes the report, and returns its text."""
    return markdown_report.write(finished, Highlights.of(finished), folder).read_text()


def test_the_worst_of_many_classes(finished, tmp_path, monkeypatch):
    drawn = {}
    for name in ("confusion_matrix", "errors_by_class", "gallery"):
        draw = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda *a, n=name, d=draw: drawn.update({n: a}) or d(*a))
    report = write(finished, tmp_path)
    assert "Error by class (the worst 20 of 30)" in report
    names, errors, mean = drawn["errors_by_class"]
    assert names[:8] == CLASSES[:8]
    assert errors[:8] == pytest.approx([100.0] * 4 + [100 / 3] * 4)
    assert (len(names), mean) == (20, 17.78)
    counts, row_names, column_names = drawn["confusion_matrix"]
    assert (counts.shape, row_names, column_names[-1]) == ((20, 21), CLASSES[:20], "others")
    assert (counts[0, 1], counts[7, 8], counts[7, 7], counts[8, 8]) == (3, 1, 2, 3)
    assert counts.sum() == 60  # three images of each of the 20 classes
    (pictures,) = drawn["gallery"]
    assert len(pictures) == 16
    confidence = [float(picture.caption.rpartition(", ")[2]) for picture in pictures]
    assert confidence == sorted(confidence, reverse=True)
    with Image.open(tmp_path / "pictures" / "confusion_matrix.png") as picture:
        assert max(picture.size) < 2000


def test_its_words(finished, tmp_path):
    report = write(finished, tmp_path)
    assert report.startswith("# D + E on photos, validation\n\n**Top-1 error 17.78%, top-5 error 0.00%** (16 and 0 mis")
    assert "| D + E | [256;512] | 384 | multi-crop & dense | 17.78 | 0.00 | 12 |" in report
    assert "paper's" not in report  # whose errors are of other images
    assert "| class 00 | 3 | 100.00 | 0.00 | class 01 (3) |" in report
    assert "Not drawn: saved posteriors were evaluated" in report


def test_of_five_classes_no_top5_error_is_shown(tmp_path):
    report = write(make_evaluation(tmp_path, CLASSES[:5]), tmp_path)
    assert "\n**Top-1 error 17.78%** (16 mistakes in 90 images), mean" in report
    assert "top-5" not in report
    assert "| D + E | [256;512] | 384 | multi-crop & dense | 17.78 | 12 |" in report
    assert "| class 00 | 18 | 100.00 | class 01 (18) |" in report


def test_without_mistakes(finished, tmp_path):
    labels = finished.manifest.labels
    posteriors = np.eye(30, dtype=np.float32)[labels]
    record = {**finished.record, "classes": results.class_records(posteriors, finished.manifest)}
    report = write(FinishedEvaluation(record, posteriors, finished.manifest, []), tmp_path)
    assert "There are no mistakes." in report


def test_ilsvrc_needs_no_note(finished):
    whole = {"data_set": "imagenet2012", "split": "validation", "num_images": 50_000, "num_classes": 1000}
    assert tables.data_note(whole) == ""
    assert "are 100 images of imagenet2012" in tables.data_note({**whole, "num_images": 100})


def test_the_papers_errors_stand_beside_those_on_its_own_images(finished):
    images = {"data_set": "imagenet2012", "split": "validation", "num_images": 50_000, "num_classes": 1000}
    shown = tables.results_table({"images": images, "results": finished.record["results"]})
    assert list(shown.columns) == list(tables.COLUMNS)
    assert shown.rows[0][-2] == "23.7/6.8"
