"""Tests what a demo offers of each kind of model, and its answers, without a browser."""

import concurrent.futures
import io
import re
import threading

import numpy as np
import pytest
from PIL import Image

from tests.helpers import demos
from tests.helpers.evaluation_data import CLASSES, expected_posteriors, photo, save_net
from tests.helpers.localizers import save_localizer
from vgg_keras.api import loading
from vgg_keras.demo_page import subject, views
from vgg_keras.demo_page.main_thread import MainThread
from vgg_keras.demo_page.page import Answers, numbered
from vgg_keras.demo_page.views import Choices
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import saving
from vgg_keras.serving import exporter
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.tasks import example_photos
from vgg_keras.utils.errors import UserError

PHOTO = photo(1, (90, 70))
NAMES = {"map": "Map", "protocols": "Photo or crops", "explanation": "Reasons", "boxes": "Box"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a classifier in run/, its export in exported/, and localizers."""
    folder = tmp_path_factory.mktemp("models")
    save_net("A", folder / "run")
    (folder / "run" / "label_names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    save_localizer(folder / "boxes.keras", "scr")
    exporter.export(folder / "run" / "best.keras", folder / "exported", [PHOTO], ExportConfig(TestProtocol()))
    return folder


def offered(models):
    found, notes = views.usable(models, loading.read_photo(PHOTO))
    assert [view.title for view in found] == [NAMES[view.name] for view in found]
    return [view.name for view in found], notes


def test_what_is_shown_of_each_kind_of_model(place):
    run = subject.load(place / "run", "")
    assert offered(run) == (["map", "protocols", "explanation"], [])
    assert (run.name, run.scales()) == ("run", [64, 96, 128])
    assert run.describe() == f"{place}/run/best.keras: 6 classes: a, b, c, d, e, ..."

    shown, notes = offered(subject.load(place / "exported", ""))
    assert shown == ["map"]
    assert ["method=center_crop" in notes[0], "is an export; load the .keras file" in notes[1]] == [True, True]

    alone = subject.load(place / "boxes.keras", "")
    shown, (note,) = offered(alone)
    assert shown == ["boxes"]
    assert "--classifier" in note
    assert views.labels(alone, loading.read_photo(PHOTO))[1] == 0

    both = subject.load(place / "boxes.keras", place / "run")
    assert offered(both) == (["boxes", "map", "protocols", "explanation"], [])
    assert both.describe().endswith(f"e, ...; {place}/run/best.keras chooses them")


def test_models_that_cannot_be_shown(place, tmp_path):
    for form, name in {"TFLite": "model.tflite", "ONNX": "model.onnx"}.items():
        (tmp_path / form / "1").mkdir(parents=True)
        (tmp_path / form / "1" / name).touch()
        said = f"--model=.*: the demo shows runs, .keras files and SavedModels, and .*{form}/1 holds files of {form}; "
        with pytest.raises(UserError, match=said):
            subject.load(tmp_path / form, "")
        with pytest.raises(UserError, match=f"{name} is a file of {form}; "):
            subject.load(tmp_path / form / "1" / name, "")
    for wrong in (place / "missing", place / "boxes.keras"):
        with pytest.raises(UserError, match=f"--classifier={wrong}: "):
            subject.load(place / "boxes.keras", wrong)


def test_what_is_said_beside_the_pictures(place):
    picture = loading.read_photo(PHOTO)
    run = subject.load(place / "run", "")
    said, _ = views.labels(run, picture)
    assert "Computed from the whole photo and its mirror image, Q = 64. A net always names one of its own" in said
    exported, _ = views.labels(subject.load(place / "exported", ""), picture)
    assert "Computed from the whole photo and its mirror image, Q = 64. " in exported
    score_map, _, explanation = views.usable(run, picture)[0]
    advice = "One position only: choose a larger Q to see where."
    assert advice in score_map.draw(run, picture, Choices(0, (64,)))
    assert advice not in score_map.draw(run, picture, Choices(0, (64, 128)))
    drawn = explanation.draw(run, picture, Choices(0, (), "integrated_gradients"))
    assert re.search(r"a, posterior 0\.\d{3}: integrated gradients", drawn)


def test_the_box_that_is_drawn_is_that_of_the_class(place):
    models, picture = subject.load(place / "boxes.keras", place / "run"), loading.read_photo(PHOTO)
    located = models.localizer.find(picture, top=6)
    for label in (located.labels[0], located.labels[5]):
        box = label.box if label in located.labels[:5] else models.localizer.box(picture, label.index)
        drawn = views.usable(models, picture)[0][0].draw(models, picture, Choices(label.index, ()))
        assert f"rows {box.ymin} to {box.ymax}, columns {box.xmin} to {box.xmax}" in drawn
        assert ("by the whole photo" in drawn) == (label in located.labels[:5])


@pytest.fixture
def main_thread():
    """Yields a main thread that works; here it is another one."""
    with demos.working() as one:
        yield one


def stop():
    raise SystemExit


def variants():
    """Returns files of one picture in other forms than RGB, and what the loader makes of each, as an RGB PNG."""
    levels = np.asarray(Image.open(io.BytesIO(PHOTO)).convert("RGB"))
    grey = levels[..., 1]
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise
    return {
        "turned.jpg": (Image.fromarray(np.rot90(levels)), {"exif": turned, "quality": 100, "subsampling": 0}, levels),
        "grey.png": (Image.fromarray(grey), {}, np.repeat(grey[..., None], 3, -1)),
        "see-through.png": (Image.fromarray(np.dstack([levels, grey])), {}, levels),
        "sixteen.png": (Image.fromarray(grey.astype(np.uint16) * 256 + 77), {}, np.repeat(grey[..., None], 3, -1)),
    }


def test_photos_of_every_form(place, main_thread, tmp_path):
    answers = Answers(subject.load(place / "run", ""), (), main_thread)
    model = saving.load_model(place / "run" / "best.keras")
    for name, (image, arguments, levels) in variants().items():
        image.save(tmp_path / name, **arguments)
        plain = io.BytesIO()
        Image.fromarray(levels).save(plain, "PNG")
        (row,) = expected_posteriors(model, [plain.getvalue()], "dense", (64,), flip=True)
        file, picture, labels, best = answers.open_photo(str(tmp_path / name))
        assert file == str(tmp_path / name)
        assert f"{name}, 90×70 pixels" in picture
        assert best == row.argmax()
        shown = re.findall(r'<th scope="row" rowspan="1">(.*)</th>|<td class="number">(.*)</td>', labels)
        numbers = [float(number) for _, number in shown if number]
        assert numbers == pytest.approx(np.sort(row)[::-1][:5].tolist(), abs=5e-3)
        assert [label for label, _ in shown if label] == [CLASSES[index] for index in np.argsort(-row)[:5]]


def test_a_photo_that_cannot_be_used(place, main_thread, tmp_path):
    answers = Answers(subject.load(place / "run", ""), (), main_thread)
    (tmp_path / "cut.jpg").write_bytes(PHOTO[:-200])
    Image.new("L", (20_000, 5_000)).save(tmp_path / "huge.png")
    Image.new("L", (2000, 2)).save(tmp_path / "thin.png")
    for name, said in {
        "cut.jpg": "image file is truncated",
        "huge.png": "has more than the 89.5 million pixels that Pillow allows; shrink it",
        "thin.png": "is too long and thin (2000x2)",
    }.items():
        file, message, labels, best = answers.open_photo(str(tmp_path / name))
        assert (file, labels, best) == (None, "", None)
        assert f"{name}: " in message
        assert said in message
        assert str(tmp_path) not in message
    assert answers.open_photo(None)[0] is None


def test_those_who_wait_when_the_main_thread_is_stopped():
    one = MainThread()
    results = []

    def wait(function):
        try:
            results.append(one.call(function))
        except concurrent.futures.CancelledError:
            results.append("cancelled")
        except ValueError as error:
            results.append(str(error))

    def fail():
        raise ValueError("wrong")

    waiting = [threading.Thread(target=wait, args=(function,)) for function in (lambda: 7, fail, stop, lambda: 8)]
    for thread in waiting:
        before = one._waiting.qsize()
        thread.start()
        while one._waiting.qsize() == before:
            pass
    with pytest.raises(SystemExit):
        one.work()
    for thread in waiting:
        thread.join()
    assert sorted(map(str, results)) == ["7", "cancelled", "cancelled", "wrong"]
    wait(lambda: 9)  # when nobody works any more
    assert results[-1] == "cancelled"


def test_classes_of_one_name_are_told_apart():
    assert numbered(["rose", "crane", "crane"]) == [("rose", 0), ("crane (1)", 1), ("crane (2)", 2)]


def test_the_examples_of_a_run_are_its_samples(tmp_path):
    assert [name.partition("_")[0] for name in example_photos.of_model(tmp_path / "best.keras", 3)] == [
        "daisy", "dandelion", "rose",
    ]  # fmt: skip
    assert example_photos.drawn(2) == example_photos.drawn(2)
    (tmp_path / "samples").mkdir()
    for index in range(3):
        (tmp_path / "samples" / f"{index}.jpg").write_bytes(PHOTO)
    assert example_photos.of_model(tmp_path / "best.keras", 2) == {"0.jpg": PHOTO, "1.jpg": PHOTO}
