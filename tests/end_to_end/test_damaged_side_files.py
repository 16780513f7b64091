"""Tests every reader of a side file on damage at random: it refuses the file in one line, or reads what was written.

    pytest -m fuzz tests/end_to_end/test_damaged_side_files.py

runs the long version.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep import preparation_record
from tests.helpers.linear_results import linear_result
from tests.helpers.mutations import mutate
from tests.helpers.nets import small
from vgg_keras.data import datasets, labels
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.evaluation import linear_records, records
from vgg_keras.evaluation.box_results import ChosenClasses
from vgg_keras.evaluation.saved_boxes import SavedBoxes
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.box_predictions import PositionBoxes
from vgg_keras.models import metadata, run_record, saving
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.serving import export_record, warmup
from vgg_keras.serving.warmup import WarmUpRequest
from vgg_keras.tasks.options import PredictOptions
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse
from vgg_keras.utils.resumable_array import ResumableArray

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
IMAGES = {
    "data_set": "flowers",
    "split": "validation",
    "num_images": 3,
    "num_classes": 5,
    "sha256_of_classes_labels_images": "0" * 64,
}
RESULT = {
    "nets": ["A"],
    "train_scales": ["48"],
    "test_scales": [[48, 64]],
    "method": "dense",
    "flip": True,
    "top1_error": 100 / 3,
    "top5_error": 0.0,
    "images_per_second": 1.5,
    "paper": None,
}
EXPORT = {
    "source": "/runs/x/best.keras",
    "source_sha256": "0" * 64,
    "net": "A",
    "num_classes": 5,
    "input_size": 32,
    "method": "dense",
    "test_scales": [48],
    "flip": True,
    "average": "scores",
    "precision": "float32",
    "max_megapixels": 100.0,
    "agreement": {"num_photos": 8, "same_top1": 8, "largest_difference": 1e-7},
    "agreement_text": "8 of 8",
}
EPOCH = {
    "epoch": 1,
    "step": 10,
    "complete": True,
    "learning_rate": 0.01,
    "training_loss": 1.5,
    "training_top1_error": 50.0,
    "validation_loss": 1.25,
    "validation_top1_error": 40.0,
    "validation_top5_error": 0.0,
    "validation_num_images": 35,
}


@dataclasses.dataclass(frozen=True)
class Reader:
    """A side file and the function that reads it.

    Attributes:
        file: path of the file below the folder of all files.
        read: function from that folder to what was read, comparable by `==`.
        exact: whether damage cannot go unnoticed, since a checksum covers the values.
    """

    file: str
    read: Callable[[Path], Any]
    exact: bool = True


def read_rows(folder: Path) -> list:
    """Reads the rows that are not computed again."""
    rows = ResumableArray(folder / "rows.npy", 3, 4)
    return [
        row.tolist() for row, pending in zip(rows.values(), rows.pending(), strict=True) if not pending
    ] or WHOLE_ROWS


def read_data(folder: Path) -> tuple:
    data = datasets.open_data(folder / "data")
    counts = [data.num_images(split) for split in ("train", "validation")]
    for split in ("train", "validation"):
        data.require_split(split)
        data.require_labels(split)
    return counts, data.class_names, data.label_names


def read_warm_up(folder: Path) -> list:
    return [
        (one.signature, {name: value.tolist() for name, value in {**one.inputs, **one.expected}.items()})
        for one in warmup.read(folder, 2)
    ]


def read_posteriors(folder: Path) -> tuple:
    saved = SavedPosteriors.load(folder / "posteriors.npz")
    return saved.info, saved.labels.tolist(), {method: rows.tolist() for method, rows in saved.by_method.items()}


def read_boxes(folder: Path) -> tuple:
    saved = SavedBoxes.load(folder / "boxes.npz")
    arrays = [(part.values.tolist(), part.ends.tolist(), part.seconds) for part in saved.by_scale.values()]
    return saved.info, saved.chosen.labels.tolist(), saved.chosen.posteriors.tolist(), saved.test_scales, arrays


def read_statistics(folder: Path) -> list:
    found = RgbStatistics.load(folder)
    return [found.mean.tolist(), found.eigenvectors.tolist(), found.eigenvalues.tolist(), found.num_pixels]


WHOLE_ROWS = [[float(row), 0.5, 0.25, 0.125] for row in range(3)]
READERS = (
    Reader("run.json", run_record.read_record),
    Reader("history.jsonl", run_record.read_history, exact=False),
    Reader("label_names.txt", lambda folder: run_record.read_label_names(folder, 5), exact=False),
    Reader("class_indices.json", lambda folder: run_record.read_class_names(folder, 5), exact=False),
    Reader("model.keras", lambda folder: metadata.read(folder / "model.keras", 5)),
    Reader("rgb_statistics.json", read_statistics),
    Reader("evaluation.json", lambda folder: records.read_finished(folder / "evaluation.json")),
    Reader("evaluation.json", lambda folder: records.read_results(folder / "evaluation.json")),
    Reader("features.json", lambda folder: linear_records.read(folder / "features.json")),
    Reader("settings.json", lambda folder: records.read_description(folder / "settings.json")),
    Reader("posteriors.npz", read_posteriors),
    Reader("boxes.npz", read_boxes),
    Reader("boxes/evaluation.json", lambda folder: records.read_results(folder / "boxes/evaluation.json")),
    Reader("rows.npy", read_rows, exact=False),  # fewer rows are left, which is tested below
    Reader("rows.json", lambda folder: ResumableArray(folder / "rows.npy", 3, 4).seconds),
    Reader("assets.extra/export.json", export_record.read),
    Reader("assets.extra/tf_serving_warmup_requests", read_warm_up),
    Reader("flags.cfg", lambda folder: parse([f"--flagfile={folder / 'flags.cfg'}"], TrainConfig), exact=False),
    Reader("data/dataset_info.json", read_data, exact=False),
    Reader("data/features.json", read_data, exact=False),
    Reader("data/label_names.txt", read_data, exact=False),
    Reader("data/preparation.json", lambda folder: preparation_record.read(folder / "data")),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn_data):
    """Makes a folder with a whole file of each kind."""
    folder = tmp_path_factory.mktemp("side_files")
    flags = {"net": "A", "train_scale": "48", "input_size": 32, "batch_norm": False, "width_multiplier": 0.25}
    side_files.write_json(folder / "run.json", {"flags": flags, "versions": {"keras": "3.1.0"}, "model": {}})
    (folder / "history.jsonl").write_text("".join(json.dumps({**EPOCH, "epoch": e}) + "\n" for e in (1, 2, 3)))
    for name, text in labels.label_files(CLASSES, CLASSES).items():
        (folder / name).write_text(text)
    saving.save_model(small(), folder / "model.keras", ModelMetadata("A", "48", CLASSES, CLASSES))
    RgbStatistics(np.array([100.5, 90.25, 80.0]), np.eye(3), np.array([30.0, 20.0, 10.0]), 99).save(folder)
    described = {"settings": {"method": "dense"}, "images": IMAGES, "models": [{"path": "x", "sha256": "0" * 64}]}
    side_files.write_json(folder / "evaluation.json", {**described, "results": [RESULT]})
    side_files.write_json(folder / "settings.json", described)
    linear_records.write(folder / "features.json", linear_result(), {})
    model = {"net": "A", "train_scale": "48", "test_scales": [48], "input_size": 32, "sha256": "0" * 64}
    info = {"model": model, "images": IMAGES, "flip": True, "average": "scores", "seconds": {"dense": 1.5}}
    posteriors = np.full((3, 5), 0.2, np.float32)
    SavedPosteriors(folder / "posteriors.npz", {"dense": posteriors}, np.array([0, 1, 4], np.int32), info).save()
    boxes_info = {
        "model": {**model, "box_regression": "pcr"},
        "classifiers": [],
        "images": {**IMAGES, "sha256_of_boxes": "0" * 64},
        "settings": {"task": "localization", "method": "dense", "flip": True, "average": "scores"},
        "method": "dense",
    }
    chosen = ChosenClasses(np.array([[0, 1], [4, 2], [1, 3]], np.int32), np.full((3, 2), 0.25, np.float32))
    by_scale = {48: PositionBoxes(np.full((4, 10), 0.5, np.float32), np.array([1, 1, 4]), 1.5)}
    SavedBoxes(folder / "boxes.npz", chosen, by_scale, boxes_info).save()
    (folder / "boxes").mkdir()
    located = {**RESULT, "box_regressions": ["pcr"], "mean_iou": 0.5}
    content = {**described, "settings": {"task": "localization", "method": "dense"}, "classifiers": []}
    side_files.write_json(folder / "boxes/evaluation.json", {**content, "results": [located]})
    rows = ResumableArray(folder / "rows.npy", 3, 4)
    for index, row in enumerate(WHOLE_ROWS):
        rows.store(index, np.array(row))
    rows.flush()
    (folder / "assets.extra").mkdir()
    side_files.write_json(folder / "assets.extra/export.json", EXPORT)
    request = WarmUpRequest("serving_default", warmup.encode_photos([b"photo"]), {"posterior": posteriors[:1]})
    warmup.write(folder, "x", [request, request])
    (folder / "flags.cfg").write_text("# a run\n--net=A\n--output_dir='my run'\n--batch_size=8\n")
    shutil.copytree(drawn_data, folder / "data")
    return folder


def outcome(read, folder):
    """Returns what was read, or the message of a UserError; any other error ends the test."""
    try:
        return read(folder), ""
    except UserError as error:
        return None, str(error)


def try_damages(reader, folder, seeds):
    path = folder / reader.file
    whole, expected = path.read_bytes(), reader.read(folder)
    try:
        for seed in seeds:
            path.write_bytes(mutate(whole, np.random.default_rng(seed)))
            found, message = outcome(reader.read, folder)
            assert "\n" not in message, (seed, message)
            if reader.exact and not message:
                assert found == expected, seed
    finally:
        path.write_bytes(whole)


NAMES = [f"{index}-{reader.file}" for index, reader in enumerate(READERS)]


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_a_whole_file_is_read(reader, folder):
    assert outcome(reader.read, folder)[1] == ""


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_damage_ends_in_one_line(reader, folder):
    try_damages(reader, folder, range(20))


@pytest.mark.fuzz
@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_damage_ends_in_one_line_for_long(reader, folder):
    try_damages(reader, folder, range(1000, 1100))


@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_other_things_in_the_place_of_a_file(reader, folder):
    path = folder / reader.file
    whole = path.read_bytes()
    try:
        path.unlink()
        path.mkdir()
        message = outcome(reader.read, folder)[1]
        assert str(path.parent) in message
        assert "\n" not in message
    finally:
        path.rmdir()
        path.write_bytes(whole)


def test_rows_that_are_left_are_those_that_were_stored(folder):
    path = folder / "rows.npy"
    whole = path.read_bytes()
    for seed in range(200):
        path.write_bytes(mutate(whole, np.random.default_rng(seed)))
        found, message = outcome(read_rows, folder)
        assert message or all(row in WHOLE_ROWS for row in found), seed
    path.write_bytes(whole)


def test_a_binary_flag_file(tmp_path):
    (tmp_path / "x.cfg").write_bytes(b"--csv=a\0b\n")
    with pytest.raises(UserError, match="null character"):
        parse([f"--flagfile={tmp_path / 'x.cfg'}", "--model=x"], PredictOptions)
