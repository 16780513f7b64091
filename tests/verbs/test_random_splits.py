"""Tests `features --splits`: a miniature of Caltech-101 through the whole protocol, against scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_prep import image_folder
from data_prep.image_folder import ImageFolderOptions
from tests.helpers.evaluation_data import save_net
from tests.helpers.photos import Image
from tests.helpers.verbs import call_verb
from vgg_keras import features
from vgg_keras.inference.posteriors import DistributedPredictor
from vgg_keras.tasks import random_split_classification
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

# Images of each class: with six for training, three, four and two at most are left.
SIZES = {"crab": 9, "lotus": 10, "wrench": 8}
COLOURS = {"crab": (200, 60, 40), "lotus": (200, 110, 90), "wrench": (150, 90, 60)}
SCALES, TRAIN, MOST_TO_TEST = (64, 80), 6, 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes class folders whose files have the same names, as Caltech's have, a data set of them, and two nets."""
    folder = tmp_path_factory.mktemp("caltech")
    rng = np.random.default_rng(0)
    for name, count in SIZES.items():
        (folder / "photos" / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.normal(COLOURS[name], 45, (4, 5, 3)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(pixels).resize((90, 70), Image.BICUBIC)
            picture.save(folder / "photos" / name / f"image_{index:04}.jpg", quality=95)
    flags = [f"--source_dir={folder / 'photos'}", f"--output_dir={folder / 'data'}", "--num_workers=1"]
    call_verb(image_folder.main, flags, ImageFolderOptions)
    save_net("A", folder / "a")
    save_net("B", folder / "b", seed=2)
    return folder


def run(place, output, *flags, models="a"):
    scales = ",".join(map(str, SCALES))
    arguments = [f"--data_dir={place / 'data'}", f"--output={output}", f"--test_scales={scales}", "--combine=stack"]
    arguments += [f"--model={place / model}" for model in models]
    call_verb(features.main, [*arguments, "--classifier", *flags], FeaturesOptions)


def recall_of_split(arrays, split):
    """Fits scikit-learn's SVM to the images that a split names, as appendix B tells; returns C and the recall."""
    from sklearn.svm import LinearSVC

    described, label_of = {}, {}
    for part in ("train", "validation"):
        for row, name, label in zip(*(arrays[f"{key}_{part}"] for key in ("features", "files", "labels")), strict=True):
            described[name], label_of[name] = row.astype(np.float64), int(label)
    rows, labels = (
        {part: np.array([values[name] for name in names]) for part, names in split.items()}
        for values in (described, label_of)
    )

    def fit(c, *parts):
        svm = LinearSVC(C=c, max_iter=100_000)
        return svm.fit(np.concatenate([rows[p] for p in parts]), np.concatenate([labels[p] for p in parts]))

    right = {
        c: (fit(c, "fitted").predict(rows["held_out"]) == labels["held_out"]).sum() for c in 4.0 ** np.arange(-2, 5)
    }
    best = min(c for c in right if right[c] == max(right.values()))
    predicted = fit(best, "fitted", "held_out").predict(rows["test"])
    recalls = [np.mean(predicted[labels["test"] == label] == label) for label in range(len(SIZES))]
    return best, 100 * sum(recalls) / len(SIZES)


def test_caltech_in_miniature(place, tmp_path, capsys):
    run(place, tmp_path / "f.npz", "--splits=3", f"--train_per_class={TRAIN}", f"--test_per_class={MOST_TO_TEST}")
    record = json.loads((tmp_path / "f.json").read_text())
    splits = json.loads((tmp_path / "f.splits.json").read_text())["splits"]
    with np.load(tmp_path / "f.npz") as loaded:
        arrays = dict(loaded)
    for split in splits:
        counts = {part: [sum(n.startswith(f"{c}/") for n in names) for c in SIZES] for part, names in split.items()}
        assert counts == {"fitted": [5, 5, 5], "held_out": [1, 1, 1], "test": [3, 3, 2]}
        assert len({name for names in split.values() for name in names}) == 26
    assert len({tuple(split["test"]) for split in splits}) == 3
    expected = [recall_of_split(arrays, split) for split in splits]
    assert [one["c"] for one in record["splits"]] == [c for c, _ in expected]
    recalls = [recall for _, recall in expected]
    assert [one["mean_class_recall"] for one in record["splits"]] == pytest.approx(recalls)
    assert record["mean_class_recall"] == pytest.approx(sum(recalls) / 3)
    assert record["mean_class_recall_std"] == pytest.approx(np.sqrt(np.square(recalls - np.mean(recalls)).sum() / 2))
    assert (record["num_training_images"], record["num_images"]) == (18, 8)
    assert f"{record['mean_class_recall']:.2f} ± {record['mean_class_recall_std']:.2f}" in capsys.readouterr().out


def test_the_same_seed_draws_the_same_images(place, tmp_path):
    flags = ["--splits=2", "--train_per_class=2", "--test_per_class=1"]
    texts = []
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        run(place, tmp_path / f"{name}.npz", *flags, f"--seed={seed}")
        texts.append((tmp_path / f"{name}.splits.json").read_text())
    assert texts[0] == texts[1] != texts[2]
    # A split that is named twice is read once.
    run(place, tmp_path / "d.npz", *flags, "--validation_split=train")
    record = json.loads((tmp_path / "d.json").read_text())
    assert [images["num_images"] for images in record["images"]] == [24]


def test_two_nets_are_stacked(place, tmp_path):
    run(place, tmp_path / "f.npz", "--splits=2", "--train_per_class=2", models="ab")
    with np.load(tmp_path / "f.npz") as arrays:
        rows = arrays["features_train"]
    # Two scales of two nets of 256 numbers, each part as long as the others.
    assert rows.shape == (24, 4 * 256)
    np.testing.assert_allclose(np.linalg.norm(rows.reshape(24, 4, 256), axis=2), 0.5, rtol=1e-5)
    record = json.loads((tmp_path / "f.json").read_text())
    assert (record["nets"], record["test_scales"]) == (["A", "B"], [list(SCALES)] * 2)
    assert record["num_images"] == 27 - 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--splits=3"],
            "--splits=3 needs --train_per_class, the number of training images of each class",
        ),
        (["--splits=3", "--train_per_class=1"], "--splits=3 needs --train_per_class"),
        (["--train_per_class=3"], r"--train_per_class=3 is for random splits; give their number, such as --splits=3"),
        (["--test_per_class=3"], r"--test_per_class=3 is for random splits"),
        (["--splits=3", "--train_per_class=3", "--noclassifier"], "--splits=3 draws the splits on which --classifier"),
        (["--splits=3", "--train_per_class=8"], "class wrench has 8; use --train_per_class=7 at most"),
        (
            ["--splits=3", "--train_per_class=3", "--validation_split=train[50%:]"],
            r"--train_split=train and --validation_split=train\[50%:\] share images",
        ),
    ],
)
def test_what_is_refused_before_any_work(flags, message, place, tmp_path):
    with pytest.raises(UserError, match=message):
        run(place, tmp_path / "f.npz", *flags)
    assert list(tmp_path.iterdir()) == []


def test_the_files_beside_the_descriptors_are_outputs(tmp_path):
    flags = ["--model=x", f"--output={tmp_path / 'f.npz'}", "--classifier", "--splits=1", "--train_per_class=2"]
    options = parse(flags, FeaturesOptions)
    assert [Path(path).name for _, path in options.output_files()] == ["f.npz", "f.json", "f.splits.json"]


def test_descriptors_survive_a_stop_while_svms_are_fitted(place, tmp_path, monkeypatch):
    def stopped(*_):
        raise UserError("stopped")

    flags = ["--splits=2", "--train_per_class=2"]
    with monkeypatch.context() as patch:
        patch.setattr(random_split_classification, "fit_and_test_splits", stopped)
        with pytest.raises(UserError, match="stopped"):
            run(place, tmp_path / "f.npz", *flags)
    # The next command takes the rows that were kept, and computes none.
    with monkeypatch.context() as patch:
        patch.setattr(DistributedPredictor, "__call__", stopped)
        run(place, tmp_path / "f.npz", *flags)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json", "f.npz", "f.splits.json"]
