"""Tests loaded localizers against NumPy and Pillow."""

import numpy as np
import pytest

import vgg_keras as vgg
from tests.helpers.evaluation_data import expected_posteriors, photo, save_net
from tests.helpers.localizers import LABELS, center_boxes, save_localizer
from vgg_keras.models import saving

PHOTOS = [photo(1, (90, 70)), photo(2, (64, 100))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a classifier in classes/, and localizers whose boxes depend on the photo."""
    folder = tmp_path_factory.mktemp("boxes")
    save_net("A", folder / "classes")
    for kind in ("scr", "pcr"):
        save_localizer(folder / f"{kind}.keras", kind)
    return folder


@pytest.mark.parametrize("kind", ["scr", "pcr"])
def test_the_box_of_a_known_class(place, kind):
    loaded = vgg.load_localizer(place / f"{kind}.keras", test_scales=[64, 80])
    assert loaded.labels == LABELS
    assert vgg.is_localizer(place / f"{kind}.keras")
    assert not vgg.is_localizer(place / "classes")
    for encoded, size in zip(PHOTOS, [(70, 90), (100, 64)], strict=True):
        expected = np.mean([center_boxes(loaded.keras_model, encoded, side) for side in (64, 80)], axis=0)
        for label in (0, 3):
            pixels = np.clip(expected[label if kind == "pcr" else 0] * np.tile(size, 2), 0, np.tile(size, 2))
            for name in (label, LABELS[label]):
                assert np.abs(np.array(loaded.box(encoded, name)) - pixels).max() <= 0.6
    flipped = loaded.box(PHOTOS[0], 3, flip=True)
    expected = np.mean([center_boxes(loaded.keras_model, PHOTOS[0], side, flip=True) for side in (64, 80)], axis=0)
    pixels = np.clip(expected[3 if kind == "pcr" else 0] * [70, 90, 70, 90], 0, [70, 90, 70, 90])
    assert np.abs(np.array(flipped) - pixels).max() <= 0.6
    if kind == "scr":
        assert loaded.box(PHOTOS[0]) == loaded.box(PHOTOS[0], 5)


def test_find(place, loaded_files):
    loaded = vgg.load_localizer(place / "pcr.keras", classifier=place / "classes", test_scales=64)
    found = loaded.find(PHOTOS, top=2)
    assert sorted(loaded_files) == ["best.keras", "pcr.keras"]
    classifier = saving.load_model(place / "classes" / "best.keras")
    posteriors = expected_posteriors(classifier, PHOTOS, "dense", (64,), flip=False)
    for one, row in zip(found, posteriors, strict=True):
        assert [label.index for label in one.labels] == np.argsort(-row)[:2].tolist()
        assert [label.posterior for label in one.labels] == pytest.approx(np.sort(row)[:-3:-1].tolist(), abs=2e-3)
    assert [len(one.labels) for one in found] == [2, 2]
    (ymin, xmin, ymax, xmax), single = found[1].best.box, loaded.find(PHOTOS[1], top=2)
    assert single == found[1]
    assert 0 <= ymin < ymax <= 100
    assert 0 <= xmin < xmax <= 64


def test_what_cannot_be_asked(place):
    with pytest.raises(vgg.UserError, match="nowhere does not exist"):
        vgg.load_localizer(place / "nowhere")
    with pytest.raises(vgg.UserError, match="predicts classes, not boxes; train one with"):
        vgg.load_localizer(place / "classes")
    with pytest.raises(
        vgg.UserError, match=r"predicts boxes, not classes: .* Python with load_localizer; all else, such as"
    ):
        vgg.load(place / "scr.keras")
    loaded = vgg.load_localizer(place / "pcr.keras")
    assert repr(loaded) == f"TrainedLocalizer('{place / 'pcr.keras'}': pcr, 6 classes)"
    for message, call in {
        r"tells where an object is, not what it is: load_localizer\(\.\.\., classifier=": lambda: loaded.find(PHOTOS),
        "gives a box for each class: name the class with label=": lambda: loaded.box(PHOTOS[0]),
        "label=kinda is not a class of the model; did you mean kind a": lambda: loaded.box(PHOTOS[0], "kinda"),
        f"label=rose is not a class of the model; it knows {', '.join(LABELS)}$": lambda: loaded.box(PHOTOS[0], "rose"),
        "label=6 must be an index of the 6 classes": lambda: loaded.box(PHOTOS[0], 6),
        "give one image; received 2": lambda: loaded.box(PHOTOS, 0),
        r"is too long and thin \(2000x2\)": lambda: loaded.box(np.zeros((2, 2000, 3), np.uint8), 0),
    }.items():
        with pytest.raises(vgg.UserError, match=message):
            call()
