"""Tests localizers that are shown squashed photos, with boxes worked out in NumPy and Pillow."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import vgg_keras as vgg
from tests.helpers import numpy_net
from tests.helpers.evaluation_data import MEAN_RGB, expected_posteriors, photo, save_net
from tests.helpers.localizers import read_boxes, save_localizer, squashed_boxes
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate, export, predict, serve_check
from vgg_keras.data import datasets
from vgg_keras.models import saving
from vgg_keras.tasks.options import EvaluateOptions, ExportOptions, PredictOptions, ServeCheckOptions
from vgg_keras.utils.errors import UserError

SIDE = 32
PHOTOS = [photo(index, size) for index, size in enumerate([(90, 70), (64, 100), (64, 64), (200, 90)])]


@pytest.fixture(scope="module")
def place(tmp_path_factory, drawn_data):
    """Makes a folder with data/, a classifier in classes/, and localizers of squashed photos in scr/ and pcr/."""
    folder = tmp_path_factory.mktemp("squashed")
    (folder / "data").symlink_to(drawn_data)
    classes = datasets.open_data(str(drawn_data)).class_names
    save_net("A", folder / "classes", SIDE, "48", 1, classes)
    # Another size, which is no obstacle: a classifier of squashed photos' boxes only chooses the classes.
    save_net("A", folder / "larger", 64, "64", 4, classes)
    save_net("A", folder / "whole", 64, "", 6, classes, validation_resize="squash")
    for kind, seed in (("scr", 2), ("pcr", 3)):
        save_net("A", folder / kind, SIDE, "", seed, classes, kind, validation_resize="squash")
    save_net("A", folder / "crops", SIDE, "48", 5, classes, "scr")
    return folder


def run(place, output_dir, *flags, models=("pcr",)):
    named = [*(f"--model={place / model}" for model in models), f"--data_dir={place / 'data'}"]
    arguments = ["--task=localization", *named, f"--output_dir={output_dir}", "--max_images=6", *flags]
    call_verb(evaluate.main, arguments, EvaluateOptions)
    return json.loads((output_dir / "evaluation.json").read_text())


def examples(place):
    data = datasets.open_data(str(place / "data"))
    return data.label_names, list(data.encoded("validation", boxes=True).take(6).as_numpy_iterator())


def expected_boxes(place, kind, encoded, *, flip=False):
    """Computes the boxes of all classes on a photo in NumPy: (classes, 4)."""
    net = saving.load_model(place / kind / "best.keras")
    weights = {("fc8" if name == "fc8_boxes" else name): arrays for name, arrays in numpy_net.of_layers(net).items()}
    view = numpy_net.squashed(encoded, SIDE)
    parts = []
    for mirrored in (False, True)[: 1 + flip]:
        outputs = numpy_net.score_map(weights, MEAN_RGB, view[:, ::-1] if mirrored else view).reshape(-1, 4)
        x, y, width, height = outputs.T
        x = 1 - x if mirrored else x
        parts.append(np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1))
    return np.broadcast_to(np.mean(parts, axis=0), (5, 4))


def center_box(place, encoded):
    """Computes the box of the localizer in crops/ from the centre crop at Q = 48 in NumPy: (4,)."""
    weights = numpy_net.of_layers(saving.load_model(place / "crops" / "best.keras"))
    whole = numpy_net.rescaled(encoded, 48)
    top, left = (np.array(whole.shape[:2]) - SIDE) // 2
    crop = whole[top : top + SIDE, left : left + SIDE]
    x, y, width, height = numpy_net.score_map(weights, MEAN_RGB, crop, last="fc8_boxes").reshape(4)
    corners = SIDE * np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return (corners + np.tile([top, left], 2)) / np.tile(whole.shape[:2], 2)


def iou(first, second):
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    common = max(height, 0) * max(width, 0)
    return common / (sum((one[2] - one[0]) * (one[3] - one[1]) for one in (first, second)) - common)


@pytest.mark.parametrize(("kind", "flip"), [("scr", False), ("pcr", False), ("pcr", True)])
def test_the_true_class_without_being_asked(place, tmp_path, capsys, kind, flip):
    record = run(place, tmp_path / "e", *(["--flip"] if flip else []), models=(kind,))
    printed = capsys.readouterr().out
    assert "was validated on photos squashed to its input size, and is tested on such photos" in printed
    assert f"true class, squashed{', with its mirror image' if flip else ''}" in printed
    assert (record["settings"]["method"], record["models"][0]["test_scales"]) == ("squash", [SIDE])
    names, photos = examples(place)
    found, overlaps = read_boxes(tmp_path / "e"), []
    for example in photos:
        label = int(example["label"])
        box = expected_boxes(place, kind, example["image_bytes"], flip=flip)[label].clip(0, 1)
        ((name, seen),) = found[example["name"].decode()].items()
        assert name == names[label]
        np.testing.assert_allclose(seen, box, atol=2e-3)
        overlaps.append(max(iou(box, true) for true in example["boxes"].tolist()))
    assert record["results"][-1]["mean_iou"] == pytest.approx(np.mean(overlaps), abs=2e-3)
    assert record["results"][-1]["top1_error"] == pytest.approx(100 * np.mean(np.array(overlaps) <= 0.5))


@pytest.mark.parametrize(
    ("classifier", "method", "side", "scale"),
    [("classes", "dense", SIDE, 48), ("larger", "dense", 64, 64), ("whole", "squash", 64, 64)],
)
@pytest.mark.parametrize("flags", [[], ["--noflip"]])
def test_classes_that_a_classifier_chooses(place, tmp_path, capsys, classifier, method, side, scale, flags):
    record = run(place, tmp_path / "e", f"--classifier={place / classifier}", *flags)
    flip = method == "dense" and not flags
    shown = f"`{place / classifier / 'best.keras'}` ({method}{', with mirror images' if flip else ''}; SHA-256 "
    assert shown in (tmp_path / "e" / "report.md").read_text()
    assert (record["classifiers"][0]["method"], record["classifiers"][0]["flip"]) == (method, flip)
    printed = capsys.readouterr().out
    assert "the 5 best classes, squashed" in printed
    assert ("and chooses the classes by such" in printed) == (method == "squash")
    assert record["classifiers"][0]["test_scales"] == [scale]
    assert "top-5" in (tmp_path / "e" / "report.md").read_text()
    names, photos = examples(place)
    found = read_boxes(tmp_path / "e")
    chooser = saving.load_model(place / classifier / "best.keras")
    encoded = [example["image_bytes"] for example in photos]
    posteriors = expected_posteriors(chooser, encoded, method, (scale,), crop=side, flip=flip)
    for example, row in zip(photos, posteriors, strict=True):
        seen = found[example["name"].decode()]
        assert list(seen) == [names[label] for label in np.argsort(-row)]
        boxes = expected_boxes(place, "pcr", example["image_bytes"]).clip(0, 1)
        np.testing.assert_allclose([seen[name] for name in names], boxes, atol=2e-3)


def test_two_localizers_are_averaged_and_so_are_their_saved_boxes(place, tmp_path):
    record = run(place, tmp_path / "e", "--save_posteriors", models=("scr", "pcr"))
    names, photos = examples(place)
    found = read_boxes(tmp_path / "e")
    for example in photos:
        label = int(example["label"])
        parts = [expected_boxes(place, kind, example["image_bytes"])[label] for kind in ("scr", "pcr")]
        np.testing.assert_allclose(
            found[example["name"].decode()][names[label]], np.mean(parts, axis=0).clip(0, 1), atol=2e-3
        )
    saved = [tmp_path / "e" / f"boxes_{index}.npz" for index in (1, 2)]
    again = run(place, tmp_path / "s", models=saved)
    assert [row["mean_iou"] for row in again["results"]] == [row["mean_iou"] for row in record["results"]]
    with pytest.raises(UserError, match=r"boxes_1\.npz holds squash, not dense; choose --method so"):
        run(place, tmp_path / "x", "--method=dense", f"--classifier={place / 'classes'}", models=saved[:1])
    # Flags that ask for other boxes than those of a file, whichever model is named first.
    for models in (saved[:1], [saved[0], "pcr"]):
        with pytest.raises(UserError, match=r"--flip=True is not how the boxes in .*boxes_1\.npz were computed"):
            run(place, tmp_path / "x", "--flip", models=models)
    with pytest.raises(UserError, match=r"--average=posteriors is not how the boxes in .*boxes_1\.npz were computed"):
        run(place, tmp_path / "x", "--average=posteriors", models=saved[:1])


def test_boxes_of_crops_and_of_squashed_photos_are_averaged_from_files(place, tmp_path, capsys):
    flags = {"scr": [], "crops": ["--method=center_crop", "--test_scales=48"]}
    for name, chosen in flags.items():
        run(place, tmp_path / name, *chosen, "--save_posteriors", models=(name,))
    files = [tmp_path / name / "boxes.npz" for name in flags]
    record = run(place, tmp_path / "both", models=files)
    assert "true class, squashed + centre crop" in capsys.readouterr().out
    methods = [(row["method"], row["methods"]) for row in record["results"]]
    alone = [("squash", ["squash"]), ("center_crop", ["center_crop"])]
    assert methods == [*alone, ("center_crop+squash", ["squash", "center_crop"])]
    found = read_boxes(tmp_path / "both")
    for example in examples(place)[1]:
        parts = expected_boxes(place, "scr", example["image_bytes"])[0], center_box(place, example["image_bytes"])
        (box,) = found[example["name"].decode()].values()
        np.testing.assert_allclose(box, np.mean(parts, axis=0).clip(0, 1), atol=2e-3)
    # One localizer by both methods is not counted twice.
    run(place, tmp_path / "crops_squashed", "--method=squash", "--save_posteriors", models=("crops",))
    run(place, tmp_path / "alone", models=[files[1], tmp_path / "crops_squashed" / "boxes.npz"])
    with pytest.raises(UserError, match=r"is the localizer of --model=.*and both have boxes at Q = 48, which would be"):
        run(place, tmp_path / "x", models=[files[1], files[1]])
    run(place, tmp_path / "dense", "--method=dense", f"--classifier={place / 'classes'}", "--save_posteriors")
    with pytest.raises(UserError, match=r"\(dense\) hold boxes of different methods, which are not merged"):
        run(place, tmp_path / "x", models=[*files, tmp_path / "dense" / "boxes.npz"])


def test_what_does_not_go_together(place, tmp_path):
    with pytest.raises(UserError, match=r"pcr was validated on squashed photos, .*crops was not: choose what both"):
        run(place, tmp_path / "e", models=("pcr", "crops"))
    not_so = "is for the choice of the classes by a net that is shown whole photos, and here none chooses them so"
    for classifier in ([], [f"--classifier={place / 'whole'}"]):
        with pytest.raises(UserError, match=f"--average {not_so}; leave it out"):
            run(place, tmp_path / "e", "--average=posteriors", *classifier)
    with pytest.raises(UserError, match="--test_scales=48 is not for --method=squash"):
        run(place, tmp_path / "e", "--test_scales=48")
    assert not (tmp_path / "e").exists()


@pytest.fixture(scope="module")
def chosen(place, tmp_path_factory):
    """Makes a folder with the posteriors of one classifier, in squash.npz and in dense.npz."""
    folder = tmp_path_factory.mktemp("chosen")
    for method in ("squash", "dense"):
        flags = [f"--model={place / 'whole'}", f"--data_dir={place / 'data'}", f"--output_dir={folder / method}"]
        flags += [f"--method={method}", "--max_images=6", "--save_posteriors"]
        call_verb(evaluate.main, flags, EvaluateOptions)
        (folder / f"{method}.npz").symlink_to(folder / method / "posteriors.npz")
    return folder


def test_saved_posteriors_of_one_net_by_two_methods_are_two_classifiers(place, chosen, tmp_path):
    squash, dense = (f"--classifier={chosen / method}.npz" for method in ("squash", "dense"))
    run(place, tmp_path / "e", squash, "--save_posteriors")
    with pytest.raises(UserError, match=r"holds another evaluation .*--classifier was '.*squash.npz', is '.*dense.npz"):
        run(place, tmp_path / "e", dense, "--save_posteriors")
    run(place, tmp_path / "d", dense, "--save_posteriors", models=("scr",))
    with pytest.raises(UserError, match=r"boxes\.npz holds boxes of classes that .*dense\.npz chose, the other local"):
        run(place, tmp_path / "x", models=[tmp_path / name / "boxes.npz" for name in "ed"])
    with pytest.raises(UserError, match=r"squash\.npz is given twice, and would be counted twice"):
        run(place, tmp_path / "x", squash, squash)


def test_flags_that_change_no_choice_of_saved_posteriors(place, chosen, tmp_path):
    saved = f"--classifier={chosen / 'dense.npz'}"
    with pytest.raises(UserError, match=r"whole.* has nothing to do: the saved posteriors choose the classes"):
        run(place, tmp_path / "x", saved, f"--classifier={place / 'whole'}")
    with pytest.raises(UserError, match="--average is for the choice of the classes by a net that is shown whole"):
        run(place, tmp_path / "x", saved, "--average=posteriors")
    dense = ["--method=dense", f"--classifier={place / 'classes'}", saved]
    with pytest.raises(UserError, match="--flip is for the choice of the classes by a net that is shown whole"):
        run(place, tmp_path / "x", *dense, "--noflip", models=("crops",))
    run(place, tmp_path / "e", *dense, models=("crops",))


def test_which_files_are_merged_and_how(place, tmp_path):
    """Files of crops and of squashed photos: other files are another evaluation, and hints can be followed."""
    crops = ["--method=center_crop", "--test_scales=48", "--save_posteriors"]
    for name, method in (("scr", crops), ("crops", crops), ("pcr", ["--save_posteriors"])):
        run(place, tmp_path / name, *method, models=(name,))
    run(place, tmp_path / "squashed", "--method=squash", "--save_posteriors", models=("scr",))
    run(place, tmp_path / "both", "--method=squash", "--save_posteriors", models=("crops",))
    scr, crop, pcr, squashed, both = (
        tmp_path / name / "boxes.npz" for name in ("scr", "crops", "pcr", "squashed", "both")
    )
    run(place, tmp_path / "e", models=[squashed, crop])
    with pytest.raises(UserError, match="holds another evaluation"):
        run(place, tmp_path / "e", models=[scr, both])
    for method in ("squash", "center_crop"):
        with pytest.raises(UserError, match=rf"different methods, which are merged without --method={method}; leave"):
            run(place, tmp_path / "x", f"--method={method}", models=[pcr, crop])
    with pytest.raises(UserError, match=r"merged from files alone; test --model=.*scr for itself with --save_post"):
        run(place, tmp_path / "x", models=[pcr, crop, "scr"])
    run(place, tmp_path / "single", "--test_scales=single", models=[pcr, crop])
    with pytest.raises(UserError, match=r"computed at Q = \(48,\), --test_scales asks for \(32,\); leave it out, or"):
        run(place, tmp_path / "x", "--test_scales=32", models=[pcr, crop])
    run(place, tmp_path / "chosen", f"--classifier={place / 'classes'}", "--save_posteriors", models=("pcr",))
    with pytest.raises(UserError, match=r"holds boxes of classes that .*classes.* chose, .* of the true class"):
        run(place, tmp_path / "x", models=[crop, tmp_path / "chosen" / "boxes.npz"])
    for name, scales in (("up", "48,64"), ("down", "64,48")):
        flags = ["--method=center_crop", f"--test_scales={scales}", "--save_posteriors"]
        run(place, tmp_path / name, *flags, models=("crops",))
    for name in ("crops", "down"):
        with pytest.raises(UserError, match=r"and both have boxes at Q = (48|64), which would be counted twice"):
            run(place, tmp_path / "x", models=[tmp_path / "up" / "boxes.npz", tmp_path / name / "boxes.npz"])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda arrays, info: info["settings"].pop("flip"), "settings has no flip"),
        (
            lambda arrays, info: info["settings"].update(flip="yes"),
            r"settings\.flip is \"yes\", should be true or",
        ),
        (lambda arrays, info: info["settings"].update(task="classification"), 'settings.task is "classification"'),
        (lambda arrays, info: info.update(classifiers=[{}]), r"classifiers\[0\] has no path"),
        (lambda arrays, info: info.update(classifiers=[{"path": 1, "sha256": ""}]), r"classifiers\[0\]\.path is 1"),
        (lambda arrays, info: arrays["boxes_0"].fill(np.nan), "boxes_0 holds values that are no finite numbers"),
        (
            lambda arrays, info: arrays.update(boxes_0=np.repeat(arrays["boxes_0"], 2, 0), ends_0=2 * arrays["ends_0"]),
            "ends_0 does not give 1 positions of each image",
        ),
    ],
)
def test_damaged_files_of_boxes(place, tmp_path, change, problem):
    run(place, tmp_path / "e", "--save_posteriors")
    path = tmp_path / "e" / "boxes.npz"
    arrays = dict(np.load(path))
    info = json.loads(str(arrays["info"]))
    change(arrays, info)
    arrays["info"] = np.array(json.dumps(info))
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=f"boxes.npz.* is damaged: .*{problem}.*compute them again with evaluate"):
        run(place, tmp_path / "x", models=[path])
    assert not (tmp_path / "x").exists()


def test_another_method_can_be_chosen(place, tmp_path):
    record = run(place, tmp_path / "e", "--method=center_crop", "--test_scales=48")
    assert record["settings"]["method"] == "center_crop"
    record = run(place, tmp_path / "s", "--method=squash", models=("crops",))
    (box, *_) = [next(iter(boxes.values())) for boxes in read_boxes(tmp_path / "s").values()]
    _, (example, *_) = examples(place)
    np.testing.assert_allclose(box, expected_boxes(place, "crops", example["image_bytes"])[0].clip(0, 1), atol=2e-3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Makes a folder with a classifier in classes/, and localizers of squashed photos as scr.keras and pcr.keras."""
    folder = tmp_path_factory.mktemp("files")
    save_net("A", folder / "classes")
    save_net("A", folder / "whole", train_scale="", seed=5, validation_resize="squash")
    (folder / "samples").mkdir()
    for index, encoded in enumerate(PHOTOS):
        (folder / "samples" / f"{index}.jpg").write_bytes(encoded)
    save_localizer(folder / "scr.keras", "scr", squashes=True)
    save_localizer(folder / "pcr.keras", "pcr", squashes=True)
    return folder


def pixels(box, encoded):
    """Returns a box in pixels of a photo, cut at its border."""
    width, height = Image.open(tf.io.gfile.GFile(encoded, "rb")).size
    return np.clip(box * [height, width, height, width], 0, [height, width, height, width])


@pytest.mark.parametrize(("kind", "classifier", "method"), [("scr", "classes", "dense"), ("pcr", "whole", "squash")])
def test_found_on_photos_and_in_python(files, tmp_path, kind, classifier, method):
    flags = [f"--model={files / f'{kind}.keras'}", f"--classifier={files / classifier}", "--top=6"]
    call_verb(predict.main, [*flags, f"--json={tmp_path / 'a.json'}", str(files / "samples")], PredictOptions)
    loaded = vgg.load_localizer(files / f"{kind}.keras", classifier=files / classifier)
    assert loaded.squashes
    posteriors = expected_posteriors(
        saving.load_model(files / classifier / "best.keras"), PHOTOS, method, (64,), flip=False
    )
    for index, found in enumerate(json.loads((tmp_path / "a.json").read_text())):
        path = files / "samples" / f"{index}.jpg"
        boxes = squashed_boxes(loaded.keras_model, PHOTOS[index])
        assert [label["index"] for label in found["labels"]] == np.argsort(-posteriors[index]).tolist()
        shown = [label["posterior"] for label in found["labels"]]
        np.testing.assert_allclose(shown, np.sort(posteriors[index])[::-1], atol=2e-3)
        assert [label.box for label in loaded.find(path, top=6).labels] == [
            tuple(label["box"].values()) for label in found["labels"]
        ]
        for label in found["labels"]:
            expected = pixels(boxes[label["index"] if kind == "pcr" else 0], str(path))
            assert np.abs(np.array(list(label["box"].values())) - expected).max() <= 0.6
    flipped = loaded.box(path, 3, flip=True)
    expected = pixels(
        squashed_boxes(loaded.keras_model, PHOTOS[index], flip=True)[3 if kind == "pcr" else 0], str(path)
    )
    assert np.abs(np.array(flipped) - expected).max() <= 0.6


def test_a_classifier_beside_a_localizer_of_whole_photos_is_shown_its_scales(place, files, tmp_path, capsys):
    classes = datasets.open_data(str(place / "data")).class_names
    save_net("A", tmp_path / "whole", SIDE, "", 7, classes, validation_resize="squash")
    flags = [f"--model={place / 'crops'}", f"--classifier={tmp_path / 'whole'}", f"--json={tmp_path / 'a.json'}"]
    call_verb(predict.main, [*flags, str(files / "samples" / "0.jpg")], PredictOptions)
    assert "does not tell the scale that it was trained at" not in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "a.json").read_text())
    net = saving.load_model(tmp_path / "whole" / "best.keras")
    (posteriors,) = expected_posteriors(net, PHOTOS[:1], "dense", (48,), crop=SIDE, flip=False)
    assert [label["index"] for label in found["labels"]] == np.argsort(-posteriors).tolist()


@pytest.mark.parametrize(("kind", "flip"), [("scr", True), ("pcr", False)])
def test_served(files, tmp_path, kind, flip, capsys):
    flags = [f"--model={files / f'{kind}.keras'}", f"--check_images={files / 'samples'}", f"--output_dir={tmp_path}"]
    call_verb(export.main, [*flags, *(["--flip"] if flip else [])], ExportOptions)
    model = saving.load_model(files / f"{kind}.keras")
    expected = [squashed_boxes(model, encoded, flip).clip(0, 1) for encoded in PHOTOS]
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["boxes"](image_bytes=tf.constant(PHOTOS))
    np.testing.assert_allclose(served["boxes"].numpy(), expected, atol=2e-3)
    record = json.loads((tmp_path / "1" / "assets.extra" / "export.json").read_text())
    assert (record["method"], record["test_scales"]) == ("squash", [64])
    card = (tmp_path / "1" / "assets.extra" / "model_card.md").read_text()
    assert "The whole photo, squashed to 64x64 pixels whatever its shape" in card
    call_verb(serve_check.main, [f"--model={tmp_path}", f"--photos={files / 'samples'}"], ServeCheckOptions)
    assert "4 photos" in capsys.readouterr().out
