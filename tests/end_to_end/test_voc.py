"""Tests PASCAL VOC in miniature: from folders of its layout to average precisions and to the files for its server.

Descriptors of plain colours between green and olive lie on a smooth curve, along which the scores of the SVMs rise or
fall. So the ranks of the tested photos are known, and the average precisions are worked out by hand.
"""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from data_prep import voc
from data_prep.voc import VocOptions
from tests.helpers.annotations import write_actions, write_voc
from tests.helpers.descriptors import expected_descriptors
from tests.helpers.evaluation_data import photo, save_net
from tests.helpers.verbs import call_verb
from vgg_keras import features
from vgg_keras.data import datasets
from vgg_keras.tasks import voc_classification
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.utils.errors import UserError

WHOLE = (1, 1, 96, 80)
LEFT, RIGHT = (1, 1, 48, 80), (49, 1, 96, 80)
# How red the training photos are, from green, 0, to olive, 105.
TRAINING = {"o1": 105, "o2": 102, "o3": 99, "o4": 96, "g1": 0, "g2": 3, "g3": 6, "g4": 9}
# The same of the tested ones, from olive to green.
TESTED = {"v1": 100, "v2": 86, "v3": 68, "v4": 50, "v5": 32, "v6": 5}


def colour(red, size=(96, 80)):
    return Image.new("RGB", size, (red, 255 - red, 40))


def save(image, root, name):
    image.save(root / "JPEGImages" / f"{name}.jpg", quality=95)


def prepare(root, *flags):
    out = root.with_name(f"{root.name}_data")
    call_verb(voc.main, [f"--source_dir={root}", f"--output_dir={out}", "--num_workers=1", *flags], VocOptions)
    return out


def run(data, output, *flags):
    arguments = [f"--data_dir={data}", f"--output={output}", "--classifier", "--test_scales=64", *flags]
    call_verb(features.main, [*arguments, f"--model={data.with_name('net')}"], FeaturesOptions)
    return json.loads(output.with_suffix(".json").read_text())


def rows(file):
    """Returns the lines of a result file as (what names the image, score)."""
    lines = [line.rpartition(" ") for line in file.read_text().splitlines()]
    return [(name, float(score)) for name, _, score in lines]


def ranking(file):
    return [name for name, _ in sorted(rows(file), key=lambda row: -row[1])]


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Makes a data set with two classes, and with a test set without annotations."""
    root = tmp_path_factory.mktemp("voc") / "classes"
    cat, dog = ("cat", *WHOLE), ("dog", *WHOLE)
    training = {name: [cat] if name.startswith("o") else [dog] for name in TRAINING}
    # Both are marked as difficult: olive must not count for "dog", nor green for "cat".
    training["o4"], training["g4"] = [cat, (*dog, True)], [(*cat, True), dog]
    tested = {
        "v1": [cat, dog],
        "v2": [],
        # A cat that is difficult, and one beside another that is not.
        "v3": [(*cat, True)],
        "v4": [cat, (*cat, True), dog],
        "v5": [(*dog, True)],
        "v6": [dog],
    }
    write_voc(root, {"train": training, "val": tested, "test": {"t2": [], "t1": []}}, size=(96, 80))
    for name, red in (TRAINING | TESTED | {"t1": 100, "t2": 5}).items():
        save(colour(red), root, name)
    for name in ("t1", "t2"):
        (root / "Annotations" / f"{name}.xml").unlink()
    save_net("A", root.with_name("net"))
    return prepare(root)


def test_average_precisions_by_hand_for_both_challenges(classes, tmp_path, capsys):
    # The flag file chooses the challenge.
    (tmp_path / "voc.cfg").write_text("--voc_year=2007\n--voc_results=comp1\n--test_scales=64,80\n")
    output = tmp_path / "f.npz"
    numbers = run(classes, output, f"--flagfile={tmp_path / 'voc.cfg'}")
    folder = tmp_path / "f_results" / "results" / "VOC2007" / "Main"
    assert sorted(path.name for path in folder.iterdir()) == ["comp1_cls_val_cat.txt", "comp1_cls_val_dog.txt"]
    assert ranking(folder / "comp1_cls_val_cat.txt") == ["v1", "v2", "v3", "v4", "v5", "v6"]
    assert ranking(folder / "comp1_cls_val_dog.txt") == ["v6", "v5", "v4", "v3", "v2", "v1"]
    # Cats, without the difficult v3: right, wrong, right, wrong, wrong. Of two cats the first one has the precision 1,
    # the second 2/3: six recalls from 0 to 0.5 have 1, five 2/3.
    cats = {2007: (6 + 5 * 2 / 3) / 11, 2012: (1 + 2 / 3) / 2}
    # Dogs, without the difficult v5: right, right, wrong, wrong, right; precisions 1, 1 and 3/5. Seven recalls from 0
    # to 0.6 have 1, four 3/5.
    dogs = {2007: (7 + 4 * 3 / 5) / 11, 2012: (1 + 1 + 3 / 5) / 3}
    assert numbers["average_precisions"] == pytest.approx({"cat": 100 * cats[2007], "dog": 100 * dogs[2007]})
    assert numbers["mean_average_precision"] == pytest.approx(50 * (cats[2007] + dogs[2007]))
    assert numbers["voc_year"] == 2007
    assert f"mAP {50 * (cats[2007] + dogs[2007]):.2f}% on 6 images" in capsys.readouterr().out
    # The same descriptors for the other challenge.
    data = datasets.open_data(classes, multi_label=True)
    with np.load(output) as arrays:
        options = FeaturesOptions(model="x", output=str(tmp_path / "g.npz"))
        numbers = voc_classification.classify(dict(arrays), data, None, options)
    assert numbers["mean_average_precision"] == pytest.approx(50 * (cats[2012] + dogs[2012]))
    assert (numbers["voc_year"], numbers["num_training_images"]) == (2012, 8)


def test_a_test_set_without_labels(classes, tmp_path, capsys):
    with pytest.raises(
        UserError, match="split 'test' has no labels to test the SVM on; --voc_results=comp2 writes its"
    ):
        run(classes, tmp_path / "f.npz", "--validation_split=test")
    flags = ["--train_split=train+validation", "--validation_split=test", "--voc_results=comp2"]
    numbers = run(classes, tmp_path / "f.npz", *flags)
    assert (numbers["mean_average_precision"], numbers["average_precisions"]) == (None, {})
    printed = " ".join(capsys.readouterr().out.split())
    assert "14 images): no score, since the 2 images tested have no labels" in printed
    names = [f"results/VOC2012/Main/comp2_cls_test_{name}.txt" for name in ("cat", "dog")]
    with tarfile.open(tmp_path / "f_results" / "results.tar.gz") as tar:
        assert tar.getnames() == names
        for name in names:
            content = tar.extractfile(name).read()
            assert content == (tmp_path / "f_results" / name).read_bytes()
    cats = rows(tmp_path / "f_results" / names[0])
    # Sorted by name as in VOC's lists; the olive one is the cat.
    assert [name for name, _ in cats] == ["t1", "t2"]
    assert cats[0][1] > cats[1][1]


def beside(left, right):
    image = colour(left)
    image.paste(colour(right, (48, 80)), (48, 0))
    return image


@pytest.fixture(scope="module")
def actions(tmp_path_factory):
    """Makes a data set of persons, two in each photo; those in an olive box jump."""
    root = tmp_path_factory.mktemp("voc") / "actions"
    both = [("person", *LEFT), ("person", *RIGHT)]
    photos = {"a1": (105, 0), "a2": (3, 102), "a3": (99, 6), "a4": (9, 96)}
    tested = {"v1": (100, 5), "v2": (32, 86), "v3": (68, 50)}
    labels = {
        "train": {
            (name, number): {"jumping": 1 if red > 52 else -1, "reading": -1 if red > 52 else 1}
            for name, reds in photos.items()
            for number, red in enumerate(reds, 1)
        },
        "val": {
            ("v1", 1): {"jumping": 1, "reading": -1},
            ("v1", 2): {"jumping": -1, "reading": 1},
            ("v2", 1): {"jumping": -1, "reading": 0},
            ("v2", 2): {"jumping": -1, "reading": -1},
            ("v3", 1): {"jumping": 0, "reading": -1},
            ("v3", 2): {"jumping": 1, "reading": 1},
        },
        "test": {("t1", 1): {}},
    }
    images = {"train": dict.fromkeys(photos, both), "val": dict.fromkeys(tested, both), "test": {"t1": both}}
    write_voc(root, images, size=(96, 80))
    write_actions(root, labels)
    for name, reds in (photos | tested | {"t1": (5, 100)}).items():
        save(beside(*reds), root, name)
    save_net("A", root.with_name("net"))
    return prepare(root, "--task=actions")


def test_actions_by_hand(actions, tmp_path):
    numbers = run(actions, tmp_path / "f.npz", "--regions=image,box", "--voc_results=comp10")
    folder = tmp_path / "f_results" / "results" / "VOC2012" / "Action"
    by_box = ["v1 1", "v2 2", "v3 1", "v3 2", "v2 1", "v1 2"]
    assert [name for name, _ in rows(folder / "comp10_action_val_jumping.txt")] == sorted(by_box)
    # The image alone says nothing about which of its two persons jumps, so the box decides.
    assert ranking(folder / "comp10_action_val_jumping.txt") == by_box
    assert ranking(folder / "comp10_action_val_reading.txt") == by_box[::-1]
    # Jumping, without v3 1, whose label is 0: right, wrong, right, wrong, wrong: precisions 1 and 2/3.
    # Reading, without v2 1: right, right, wrong, wrong, wrong.
    assert numbers["average_precisions"] == pytest.approx({"jumping": 100 * (1 + 2 / 3) / 2, "reading": 100})
    assert numbers["mean_average_precision"] == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
    flags = ["--regions=box", "--validation_split=test", "--voc_results=comp9"]
    assert run(actions, tmp_path / "t.npz", *flags)["mean_average_precision"] is None
    jumping = rows(tmp_path / "t_results" / "results/VOC2012/Action/comp9_action_test_jumping.txt")
    assert [name for name, _ in jumping] == ["t1 1", "t1 2"]
    assert jumping[1][1] > jumping[0][1]


def test_descriptors_of_a_box_are_those_of_a_photo_cut_out(tmp_path):
    # Smooth photos, on which the two decoders agree. Columns 11 to 90 and rows 6 to 75, and a narrow box.
    boxes = {"train": (11, 6, 90, 75), "val": (1, 21, 40, 80)}
    root = write_voc(
        tmp_path / "voc",
        {"train": {"a": [("person", *boxes["train"])]}, "val": {"b": [("person", *boxes["val"])]}},
        size=(96, 80),
    )
    write_actions(root, {"train": {("a", 1): {"jumping": 1}}, "val": {("b", 1): {"jumping": 1}}})
    pictures = {}
    for number, (name, (left, top, right, bottom)) in enumerate(zip("ab", boxes.values(), strict=True)):
        encoded = photo(number, (96, 80))
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(encoded)
        cut = io.BytesIO()
        Image.open(io.BytesIO(encoded)).crop((left - 1, top - 1, right, bottom)).save(cut, format="PNG")
        pictures[name] = encoded, cut.getvalue()
    data = prepare(root, "--task=actions")
    model = save_net("A", tmp_path / "net")
    for regions in ("box", "image,box"):
        arguments = [f"--data_dir={data}", f"--model={tmp_path / 'net'}", f"--output={tmp_path / 'f.npz'}"]
        call_verb(features.main, [*arguments, "--test_scales=64,80", f"--regions={regions}"], FeaturesOptions)
        with np.load(tmp_path / "f.npz") as arrays:
            found = {"a": arrays["features_train"], "b": arrays["features_validation"]}
        for name, (whole, cut) in pictures.items():
            expected = expected_descriptors(model, [cut], (64, 80), "average")
            if regions != "box":
                of_image = expected_descriptors(model, [whole], (64, 80), "average")
                expected = np.concatenate([of_image, expected], axis=1) / np.sqrt(2)
            np.testing.assert_allclose(found[name], expected, atol=1e-4)


def test_what_is_refused(classes, actions, tmp_path):
    for data, flags, message in (
        (
            classes,
            ["--regions=box"],
            "its records are of images, not of objects with a box; data_prep.voc --task=actions",
        ),
        (
            classes,
            ["--voc_results=comp10"],
            "--voc_results=comp10 is a competition about persons, as data_prep.voc --ta",
        ),
        (actions, ["--voc_results=comp2"], "--voc_results=comp2 is a competition about images of several labels; "),
        (
            classes,
            ["--voc_results=comp2", "--noclassifier"],
            "--voc_results=comp2 writes the scores of the SVM; it needs",
        ),
        (
            classes,
            ["--voc_results=comp2", "--validation_split=validation[:3]"],
            r"split validation\[:3\] is none of VOC's",
        ),
    ):
        with pytest.raises(UserError, match=message):
            run(data, tmp_path / "f.npz", *flags)
    assert list(tmp_path.iterdir()) == []
