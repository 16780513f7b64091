"""Tests `evaluate --task=localization`: fusion against NumPy, resuming, comparing, and what it refuses."""

import csv
import json
import re

import numpy as np
import pytest

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import MEAN_RGB, expected_posteriors, save_net
from tests.helpers.localizers import read_boxes
from tests.helpers.merging import plain_merge
from tests.helpers.processes import run_killed_at, start_verb
from tests.helpers.verbs import call_verb
from tests.helpers.workers import make_clusters, run_workers
from vgg_keras import evaluate, report
from vgg_keras.data import datasets, transforms
from vgg_keras.evaluation import comparison
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.localizer import KnownClassPredictor, LikelyClassesPredictor, Localizer
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.tasks.localization import evaluate_localizers
from vgg_keras.tasks.options import EvaluateOptions, ReportOptions
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse
from vgg_keras.utils.teamwork import Team

SIDE = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory, drawn_data):
    """Makes a folder with a classifier in classes/ and localizers in a/ (PCR, S = 48) and b/ (SCR, S = 64)."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "data").symlink_to(drawn_data)
    classes = datasets.open_data(str(drawn_data)).class_names
    net = {
        "classes": save_net("A", folder / "classes", SIDE, "48", 1, classes),
        "a": save_net("A", folder / "a", SIDE, "48", 2, classes, "pcr"),
        "b": save_net("A", folder / "b", SIDE, "64", 3, classes, "scr", frozen_up_to="block5_pool"),
    }
    return folder, net


def arguments(folder, output_dir, *flags, models=("a",)):
    named = [*(f"--model={folder / model}" for model in models), f"--data_dir={folder / 'data'}"]
    return ["--task=localization", *named, f"--output_dir={output_dir}", *flags]


def run(place, output_dir, *flags, models=("a",)):
    """Runs the verb in this process; returns the record of the evaluation."""
    call_verb(evaluate.main, arguments(place[0], output_dir, *flags, models=models), EvaluateOptions)
    return json.loads((output_dir / "evaluation.json").read_text())


def examples(folder, count):
    data = datasets.open_data(str(folder / "data"))
    return data.label_names, list(data.encoded("validation", boxes=True).take(count).as_numpy_iterator())


def positions(net, classifier, image_bytes, side, kind):
    """Computes the boxes and posteriors at all positions in NumPy: (positions, classes, 4 relative, 1)."""
    whole = numpy_net.rescaled(image_bytes, side)
    # What the windows, 32 pixels apart, leave of a side is cut off in equal parts at both ends.
    rows_left, columns_left = (length % 32 for length in whole.shape[:2])
    above, before = rows_left // 2, columns_left // 2
    view = whole[above : whole.shape[0] - rows_left + above, before : whole.shape[1] - columns_left + before]
    weights = {("fc8" if name == "fc8_boxes" else name): arrays for name, arrays in numpy_net.of_layers(net).items()}
    outputs = numpy_net.score_map(weights, MEAN_RGB, view)
    posteriors = numpy_net.softmax(numpy_net.score_map(numpy_net.of_layers(classifier), MEAN_RGB, view))
    found = []
    for row, column in np.ndindex(outputs.shape[:2]):
        of_classes = []
        for label in range(5):
            start = 4 * label if kind == "pcr" else 0
            x, y, width, height = outputs[row, column, start : start + 4]
            left = before + 32 * column + SIDE * (x - width / 2)
            top = above + 32 * row + SIDE * (y - height / 2)
            box = [top, left, top + SIDE * height, left + SIDE * width]
            size = [whole.shape[0], whole.shape[1]] * 2
            of_classes.append([*np.divide(box, size), posteriors[row, column, label]])
        found.append(of_classes)
    return found


def center_box(net, image_bytes, side, label, *, mirrored):
    """Computes the box of a class from the centre crop, or from its mirror image, in NumPy: (4,), relative."""
    view = numpy_net.rescaled(image_bytes, side)
    top, left = (np.array(view.shape[:2]) - SIDE) // 2
    crop = view[top : top + SIDE, left : left + SIDE]
    weights = {("fc8" if name == "fc8_boxes" else name): arrays for name, arrays in numpy_net.of_layers(net).items()}
    outputs = numpy_net.score_map(weights, MEAN_RGB, crop[:, ::-1] if mirrored else crop)
    x, y, width, height = outputs.reshape(-1, 4)[label]
    x = 1 - x if mirrored else x
    corners = [y - height / 2, x - width / 2, y + height / 2, x + width / 2]
    return (np.multiply(corners, SIDE) + np.array([top, left, top, left])) / np.tile(view.shape[:2], 2)


def merged_boxes(predicted, image_bytes):
    height, width, _ = numpy_net.rescaled(image_bytes, 100).shape
    unit = np.array([height, width, height, width]) / 100
    return [
        np.clip(plain_merge([one[:4] * unit for one in of_class], [one[4] for one in of_class], 0.5)[0][0] / unit, 0, 1)
        for of_class in np.moveaxis(np.array(predicted), 1, 0)
    ]


def test_the_boxes_of_all_localisers_and_scales_go_into_one_merge(place, tmp_path):
    folder, net = place
    flags = [f"--classifier={folder / 'classes'}", "--test_scales=48,96", "--max_images=5"]
    record = run(place, tmp_path / "e", *flags, models="ab")
    rows = [(row["nets"], row["box_regressions"], row["test_scales"]) for row in record["results"]]
    assert rows == [
        (["A"], ["pcr"], [[48]]),
        (["A"], ["pcr"], [[96]]),
        (["A"], ["pcr"], [[48, 96]]),
        (["A"], ["scr"], [[48]]),
        (["A"], ["scr"], [[96]]),
        (["A"], ["scr"], [[48, 96]]),
        (["A", "A"], ["pcr", "scr"], [[48, 96], [48, 96]]),
    ]
    names, photos = examples(folder, 5)
    found = read_boxes(tmp_path / "e")
    for example in photos:
        parts = [
            positions(net[name], net["classes"], example["image_bytes"], side, kind)
            for name, kind in (("a", "pcr"), ("b", "scr"))
            for side in (48, 96)
        ]
        expected = merged_boxes([one for part in parts for one in part], example["image_bytes"])
        boxes = found[example["name"].decode()]
        for label, box in enumerate(expected):
            np.testing.assert_allclose(boxes[names[label]], box, atol=2e-3)


def test_localisers_at_different_scales_are_fused_from_saved_boxes(place, tmp_path):
    folder, net = place
    flags = [f"--classifier={folder / 'classes'}", "--max_images=5", "--save_posteriors"]
    run(place, tmp_path / "a", *flags, "--test_scales=48")
    run(place, tmp_path / "b", *flags, "--test_scales=64,96", models="b")
    saved = [tmp_path / name / "boxes.npz" for name in "ab"]
    record = run(place, tmp_path / "fused", "--max_images=5", models=saved)
    assert [row["test_scales"] for row in record["results"]][-1] == [[48], [64, 96]]
    assert record["settings"] == {"task": "localization", "method": "dense", "flip": True, "average": "scores"}
    names, photos = examples(folder, 5)
    found = read_boxes(tmp_path / "fused")
    for example in photos:
        tested = (("a", "pcr", 48), ("b", "scr", 64), ("b", "scr", 96))
        parts = [
            positions(net[name], net["classes"], example["image_bytes"], side, kind) for name, kind, side in tested
        ]
        expected = merged_boxes([one for part in parts for one in part], example["image_bytes"])
        for label, box in enumerate(expected):
            np.testing.assert_allclose(found[example["name"].decode()][names[label]], box, atol=2e-3)
    with pytest.raises(UserError, match=r"boxes\.npz, and both have boxes at Q = 48, which would be counted"):
        run(place, tmp_path / "x", "--max_images=5", models=[saved[0], saved[0]])
    # A net may stand beside saved boxes of another one.
    flags = [f"--classifier={folder / 'classes'}", "--max_images=5", "--test_scales=48"]
    run(place, tmp_path / "mixed", *flags, models=("b", saved[0]))
    with pytest.raises(UserError, match=r"boxes\.npz was computed at Q = \(64, 96\), --test_scales asks for \(48,\)"):
        run(place, tmp_path / "x", *flags, models=("a", saved[1]))
    with pytest.raises(UserError, match="saved boxes hold their classes and scores; leave it out"):
        run(place, tmp_path / "x", *flags, models=saved[:1])
    with pytest.raises(
        UserError, match=r"boxes\.npz is of other images than these: the number of images \(--max_images\) was 5"
    ):
        run(place, tmp_path / "x", "--max_images=4", models=saved)
    with pytest.raises(UserError, match=r"boxes\.npz was computed with flip = True, the boxes of the other localiz"):
        run(place, tmp_path / "x", *flags, "--noflip", models=("b", saved[0]))


def test_the_classes_are_those_of_the_classifier_or_of_saved_posteriors(place, tmp_path):
    folder, net = place
    _, photos = examples(folder, 6)
    images = [example["image_bytes"] for example in photos]
    expected = expected_posteriors(net["classes"], images, "dense", (48,), crop=SIDE)
    other = expected_posteriors(net["classes"], images, "dense", (96,), crop=SIDE)
    classes = f"--classifier={folder / 'classes'}"
    run(place, tmp_path / "e", classes, "--test_scales=64", "--max_images=6")
    rows = list(csv.DictReader((tmp_path / "e" / "boxes.csv").open()))
    given = np.array([float(row["posterior"]) for row in rows]).reshape(6, 5)
    np.testing.assert_allclose(given, -np.sort(-expected, axis=1), atol=1e-4)
    call_verb(
        evaluate.main,
        [
            *(f"--model={folder / 'classes'}", f"--data_dir={folder / 'data'}", f"--output_dir={tmp_path / 'c'}"),
            *("--test_scales=96", "--max_images=6", "--save_posteriors"),
        ],
        EvaluateOptions,
    )
    saved = f"--classifier={tmp_path / 'c' / 'posteriors.npz'}"
    run(place, tmp_path / "f", classes, saved, "--test_scales=64", "--max_images=6")
    rows = list(csv.DictReader((tmp_path / "f" / "boxes.csv").open()))
    given = np.array([float(row["posterior"]) for row in rows]).reshape(6, 5)
    np.testing.assert_allclose(given, -np.sort(-other, axis=1), atol=1e-4)
    with pytest.raises(UserError, match="--classifier names 0 nets; one net chooses the classes and, in the dense"):
        run(place, tmp_path / "x", saved, "--max_images=6")
    with pytest.raises(UserError, match=r"posteriors\.npz is of other images than these"):
        run(place, tmp_path / "x", classes, saved, "--max_images=5")


def test_what_does_not_fit_is_refused_before_anything_is_written(place, tmp_path, monkeypatch):
    folder, _ = place
    classes, flags = f"--classifier={folder / 'classes'}", ["--test_scales=48", "--max_images=3"]
    names = datasets.open_data(str(folder / "data")).class_names
    save_net("A", tmp_path / "large", 64, "64", 1, names)
    save_net("A", tmp_path / "b" / "large", 64, "64", 3, names, "pcr")
    run(place, tmp_path / "first", classes, *flags, "--save_posteriors")
    call_verb(
        evaluate.main,
        [
            *(f"--model={folder / 'classes'}", f"--data_dir={folder / 'data'}", f"--output_dir={tmp_path / 'c'}"),
            *("--max_images=4", "--save_posteriors"),
        ],
        EvaluateOptions,
    )
    monkeypatch.setattr("vgg_keras.evaluation.evaluator.Evaluator.test", None)  # no net may be shown the photos
    saved = tmp_path / "first" / "boxes.npz"
    refused = [
        (["--max_images=2"], [saved], r"boxes\.npz is of other images than these"),
        (
            ["--max_images=3", classes],
            [tmp_path / "b" / "large"],
            "looks at 32x32 pixels, .* trained with --input_size=64",
        ),
        ([*flags, f"--classifier={tmp_path / 'large'}"], ["a"], r"large/best\.keras"),
        (
            [*flags, classes, f"--classifier={tmp_path / 'c' / 'posteriors.npz'}"],
            ["a"],
            "is of other images than these",
        ),
    ]
    for given, models, message in refused:
        with pytest.raises(UserError, match=message):
            run(place, tmp_path / "out", *given, models=models)
        assert not (tmp_path / "out" / "settings.json").exists()
    monkeypatch.undo()
    run(place, tmp_path / "out", classes, *flags)
    # Each kind of file is sound, and named for what it is.
    with pytest.raises(UserError, match=r"posteriors\.npz holds posteriors of a classifier, not boxes"):
        run(place, tmp_path / "x", models=[tmp_path / "c" / "posteriors.npz"])
    other = [f"--model={saved}", f"--data_dir={folder / 'data'}", f"--output_dir={tmp_path / 'x'}"]
    with pytest.raises(UserError, match=r"boxes\.npz holds boxes of a localizer, not posteriors; .*localization"):
        call_verb(evaluate.main, other, EvaluateOptions)


def without_seconds(folder):
    """Returns the content of all files of an evaluation's folder but what depends on the time that it took."""
    content = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found = {}
    for name, path in content.items():
        if name == "evaluation.json":
            record = json.loads(path.read_text())
            record.pop("checksum", None)
            timed = ("seconds", "images_per_second")
            record["results"] = [{k: v for k, v in row.items() if k not in timed} for row in record["results"]]
            found[name] = record
        elif name in ("report.md", "report.html"):
            last_cell = r"\| [^|]* \|$|<td>[^<]*</td></tr>$"
            found[name] = re.sub(last_cell, "", path.read_text(), flags=re.MULTILINE)
        elif name.startswith("boxes") and path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files if key != "info"}
        elif name != ".lock":
            found[name] = path.read_bytes()
    return found


@pytest.mark.multiprocess
def test_killed_while_it_classifies_predicts_and_merges_it_ends_with_the_same_bytes(place, tmp_path):
    folder, _ = place
    flags = [f"--classifier={folder / 'classes'}", "--test_scales=48,80", "--max_images=12", "--save_posteriors"]

    def flags_of(name):
        return arguments(folder, name, *flags)

    process = start_verb("vgg_keras.evaluate", *flags_of("whole"), cwd=tmp_path)
    assert process.wait(timeout=600) == 0, process.communicate()[1]
    store = "vgg_keras.utils.resumable_array.ResumableArray.store"
    counts = []
    # The first is killed as it classifies, after 5 images. The second classifies 7, predicts the boxes of 12 at Q = 48,
    # where a square photo has one position, and of 9 at Q = 80, which have four; it is killed among those of the tenth.
    # The third is killed as it merges.
    for call in (6, 7 + 12 + 9 * 4 + 3):
        run_killed_at(store, "vgg_keras.evaluate", *flags_of("killed"), cwd=tmp_path, call=call)
        partial = tmp_path / "killed" / "partial"
        counts.append(sorted(path.relative_to(partial).as_posix() for path in partial.rglob("*.npy")))
    merge = "vgg_keras.inference.box_merging.merge"
    run_killed_at(merge, "vgg_keras.evaluate", *flags_of("killed"), cwd=tmp_path, call=8)
    counts.append(sorted(path.name for path in partial.glob("*_merged*.npy")))
    assert counts[0] == ["classes/0_dense_48.npy"]
    assert counts[1] == ["0_boxes_48.npy", "0_boxes_80.npy", "classes/0_dense_48.npy"]
    assert counts[2] == ["0_merged_48.npy"]
    process = start_verb("vgg_keras.evaluate", *flags_of("killed"), cwd=tmp_path)
    assert process.wait(timeout=600) == 0, process.communicate()[1]
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    assert not partial.exists()


def test_two_evaluations_of_localisers_are_compared(place, tmp_path, capsys):
    folder, _ = place
    run(place, tmp_path / "a", "--method=center_crop")
    capsys.readouterr()
    run(place, tmp_path / "b", "--method=center_crop", f"--compare={tmp_path / 'a'}", models="b")
    printed = " ".join(capsys.readouterr().out.split())
    wrong = []
    for name in "ab":
        overlaps = [float(row["iou"]) for row in csv.DictReader((tmp_path / name / "boxes.csv").open())]
        wrong.append(np.array(overlaps) <= 0.5)
        with np.load(tmp_path / name / "mistakes.npz") as arrays:
            marked = np.unpackbits(arrays["wrong"], axis=-1, count=35).astype(bool)
        np.testing.assert_array_equal(marked, [[wrong[-1], wrong[-1]]])
    difference = 100 * (wrong[1].mean() - wrong[0].mean())
    assert difference != 0
    assert f"{difference:+.2f} [" in printed
    assert f"| {difference:+.2f} [" in (tmp_path / "b" / "comparison.md").read_text()
    with pytest.raises(
        UserError, match=r"^--compare=\S+ is a model, and localizers are compared by evaluations: test it"
    ):
        run(place, tmp_path / "d", "--method=center_crop", f"--compare={folder / 'a'}")
    assert "A SCR (FC)" in printed
    # The errors of classes are others, and so are those on fewer photos.
    call_verb(
        evaluate.main,
        [
            *(f"--model={folder / 'classes'}", f"--data_dir={folder / 'data'}", f"--output_dir={tmp_path / 'c'}"),
            "--method=center_crop",
        ],
        EvaluateOptions,
    )
    message = "is an evaluation of classification, this one is of localization; only errors of one kind can be compared"
    with pytest.raises(UserError, match=message):
        run(place, tmp_path / "d", "--method=center_crop", f"--compare={tmp_path / 'c'}")
    with pytest.raises(UserError, match=r"is an evaluation of 35 images of .*, this one is of 20 images"):
        run(place, tmp_path / "d", "--method=center_crop", "--max_images=20", f"--compare={tmp_path / 'a'}")
    assert not (tmp_path / "d" / "evaluation.json").exists()
    # All three are of the same photos: the report has one section of them.
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    assert (tmp_path / "tables.md").read_text().count("\n## ") == 1


def test_the_known_class_has_no_top_5_error_in_a_comparison(place, tmp_path):
    classes = f"--classifier={place[0] / 'classes'}"
    run(place, tmp_path / "known", "--method=center_crop", "--max_images=4")
    run(place, tmp_path / "dense", classes, "--max_images=4")
    table, _ = comparison.compare(tmp_path / "dense", tmp_path / "known")
    known, dense = ([row[index] for index in (7, 8)] for row in table.rows)
    assert known == ["", ""]
    assert dense[0] != ""
    assert dense[1] == ""


def test_finished_and_foreign_folders(place, tmp_path, capsys):
    folder, _ = place
    first = run(place, tmp_path / "e", "--method=center_crop")
    assert run(place, tmp_path / "e", "--method=center_crop") == first
    assert "holds this evaluation already" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"holds this evaluation without boxes\.npz; remove the folder"):
        run(place, tmp_path / "e", "--method=center_crop", "--save_posteriors")
    line = r"holds another evaluation \(.*evaluation\.json: --task was 'localization', is 'classification'"
    with pytest.raises(UserError, match=line):
        call_verb(
            evaluate.main,
            [
                *(f"--model={folder / 'classes'}", f"--data_dir={folder / 'data'}", f"--output_dir={tmp_path / 'e'}"),
                "--method=center_crop",
            ],
            EvaluateOptions,
        )
    line = r"the number of classifiers \(--classifier\) was 0, is 1"
    with pytest.raises(UserError, match=line):
        run(place, tmp_path / "e", f"--classifier={folder / 'classes'}")
    (tmp_path / "e" / "report.html").unlink()
    (tmp_path / "e" / "mistakes.npz").write_bytes(b"")
    (tmp_path / "e" / "boxes.csv").unlink()
    line = r"e holds this evaluation without report\.html, mistakes\.npz, boxes\.csv; remove the folder to do it again"
    with pytest.raises(UserError, match=line):
        run(place, tmp_path / "e", "--method=center_crop")


def test_a_localizer_of_other_classes(place):
    folder, _ = place
    classes = datasets.open_data(str(folder / "data")).class_names
    protocol = TestProtocol("center_crop", "48")
    assert Localizer.load(folder / "a", protocol, classes).class_names == classes
    with pytest.raises(UserError, match="knows other classes than the data set: 'rose' where that has 'ant'"):
        Localizer.load(folder / "a", protocol, ["ant" if name == "rose" else name for name in classes])
    with pytest.raises(UserError, match="knows 5 classes, the data set has 6"):
        Localizer.load(folder / "a", protocol, [*classes, "zebra"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--method=multi_crop"], "--method=multi_crop is not for --task=localization; it is dense, center_crop or"),
        (
            ["--method=center_crop", "--classifier=x"],
            "--classifier is not for --method=center_crop: the class is known",
        ),
        (["--method=center_crop", "--average=posteriors"], "--average is not for --method=center_crop"),
        (["--task=classification", "--classifier=x"], "--classifier is for --task=localization; leave it out for cl"),
        (["--method=center_crop", "--cpu_devices=2"], "shows photos one by one, on one device; leave out --strategy"),
    ],
)
def test_flags_that_would_be_ignored(place, tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        run(place, tmp_path / "e", *flags)


def test_a_localiser_that_is_missing_or_of_other_classes(place, tmp_path):
    folder, _ = place
    for name in ("absent", "absent.keras"):
        with pytest.raises(UserError, match=rf"{name}.* is missing; give a \.keras file"):
            run(place, tmp_path / "e", "--method=center_crop", models=(name,))
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty/best\.keras is missing; give a \.keras file"):
        run(place, tmp_path / "e", "--method=center_crop", models=("empty",))
    names = datasets.open_data(str(folder / "data")).class_names
    save_net("A", folder / "other", SIDE, "48", 2, [*names[:-1], "oak"], "pcr")
    with pytest.raises(UserError, match=rf"knows other classes than the data set: 'oak' where that has '{names[-1]}'"):
        run(place, tmp_path / "e", "--method=center_crop", models=("other",))


def test_boxes_of_centre_crops_are_averaged_with_those_of_their_mirror_images(place, tmp_path, capsys):
    folder, net = place
    flags = ["--method=center_crop", "--flip", "--test_scales=48,96", "--max_images=3"]
    record = run(place, tmp_path / "e", *flags, "--save_posteriors")
    assert "true class, centre crop, with its mirror image" in capsys.readouterr().out
    assert [record["settings"]["flip"], *(row["flip"] for row in record["results"])] == [True] * 4
    names, photos = examples(folder, 3)
    found = read_boxes(tmp_path / "e")
    localizer = Localizer.load(folder / "a", TestProtocol("center_crop", "48,96"))
    for example in photos:
        label, name = int(example["label"]), example["name"].decode()
        parts = [
            center_box(net["a"], example["image_bytes"], side, label, mirrored=mirrored)
            for side in (48, 96)
            for mirrored in (False, True)
        ]
        np.testing.assert_allclose(found[name][names[label]], np.mean(parts, axis=0).clip(0, 1), atol=2e-3)
        image = transforms.decode(example["image_bytes"]).numpy()
        box = KnownClassPredictor(localizer)(image, label, flip=True)
        np.testing.assert_allclose(box, found[name][names[label]], atol=2e-4)
    # Of saved boxes, their file tells it.
    saved = run(place, tmp_path / "s", "--method=center_crop", "--max_images=3", models=[tmp_path / "e" / "boxes.npz"])
    assert [row["mean_iou"] for row in saved["results"]] == [row["mean_iou"] for row in record["results"]]
    assert saved["results"][-1]["flip"]
    with pytest.raises(UserError, match=r"boxes\.npz was computed with flip = True, the boxes of the other"):
        run(place, tmp_path / "x", *flags[:1], *flags[2:], models=("b", tmp_path / "e" / "boxes.npz"))
    # A row of the paper's tables it is not, and beside the same test without mirror images both are shown.
    run(place, tmp_path / "plain", *flags[:1], *flags[2:])
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    shown = capsys.readouterr().out
    assert "true class, centre crop, with its mirror image" in shown


def test_single_photos_get_the_boxes_of_an_evaluation(place, tmp_path):
    folder, _ = place
    classes = f"--classifier={folder / 'classes'}"
    run(place, tmp_path / "dense", classes, "--test_scales=48,96", "--max_images=3")
    run(place, tmp_path / "crop", "--method=center_crop", "--test_scales=48,96", "--max_images=3")
    protocol = TestProtocol("dense", "48,96", flip=False)
    localizer = Localizer.load(folder / "a", protocol)
    center = KnownClassPredictor(localizer)
    classifier = Predictor(load_for_inference(folder / "classes", protocol), protocol)
    dense = LikelyClassesPredictor(localizer, classifier)
    names, photos = examples(folder, 3)
    of_crops, of_photos = read_boxes(tmp_path / "crop"), read_boxes(tmp_path / "dense")
    for example in photos:
        name, label = example["name"].decode(), int(example["label"])
        image = transforms.decode(example["image_bytes"]).numpy()
        np.testing.assert_allclose(center(image, label), of_crops[name][names[label]], atol=2e-4)
        found = dense(image)
        assert [one.posterior for one in found] == sorted((one.posterior for one in found), reverse=True)
        for one in found:
            np.testing.assert_allclose(one.box, of_photos[name][names[one.label]], atol=2e-4)


def test_two_workers_find_the_same_boxes_as_one(place, tmp_path):
    folder, _ = place
    flags = [f"--classifier={folder / 'classes'}", "--test_scales=64", "--max_images=6", "--save_posteriors"]
    options = {
        name: parse(arguments(folder, tmp_path / name, *flags, models="ab"), EvaluateOptions) for name in ("one", "two")
    }
    alone = evaluate_localizers(options["one"], Team())
    chief, worker = run_workers(
        make_clusters(2), [lambda channel: evaluate_localizers(options["two"], Team(channel))] * 2, timeout=300
    )
    assert (alone.chief, chief.chief, worker.chief) == (True, True, False)
    # Of 6 photos each worker classifies 3, finds boxes on 3 with each of two localizers, and merges those of 3 for each
    # of them and for both together.
    assert chief.shares.count(f": {3 + 2 * 3 + 3 * 3} photos in ") == 2
    found, expected = (without_seconds(tmp_path / name) for name in ("two", "one"))
    seconds = [[row["seconds"] for row in result.record["results"]] for result in (chief, worker)]
    assert seconds[0] == seconds[1]
    assert found == expected
