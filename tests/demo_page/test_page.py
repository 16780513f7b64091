"""Works the demo's page in headless Chromium, and compares what it shows with NumPy and Pillow."""

import re
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.helpers import browser, demos, numpy_net
from tests.helpers.evaluation_data import CLASSES, MEAN_RGB, expected_posteriors, photo, save_net
from tests.helpers.localizers import save_localizer
from vgg_keras.models import saving

pytest.importorskip("gradio", reason="Gradio, which the extra demo installs, is not here")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browser.WHY_NONE), reason=browser.WHY_NONE)]

# Names that a page or Gradio might take for something else.
LABELS = ["${1+1}", "<b>b</b>", "{{value}}", "d", "d", "f"]
PHOTO = photo(1, (90, 70))
# Centre x, centre y, width and height, relative to the input, of each class.
BOXES = [(0.5, 0.5, 0.25 + 0.1 * index, 0.5) for index in range(len(CLASSES))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a classifier in run/, a localizer, and photos."""
    folder = tmp_path_factory.mktemp("demo")
    save_net("A", folder / "run")
    (folder / "run" / "label_names.txt").write_text("".join(f"{name}\n" for name in LABELS))
    save_localizer(folder / "boxes.keras", "pcr", BOXES)
    (folder / "photo.jpg").write_bytes(PHOTO)
    Image.new("RGB", (64, 64), (40, 90, 60)).save(folder / "square.png")
    return folder


@pytest.fixture(scope="module")
def model(place):
    return saving.load_model(place / "run" / "best.keras")


@pytest.fixture(scope="module")
def driver():
    with browser.browser(1200) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(place, driver):
    """Opens the page of the classifier, and checks at the end that it loaded nothing from elsewhere."""
    with demos.served(model=place / "run", max_megabytes=1) as url:
        yield demos.Page(driver, url).open()
        foreign = [one for one in browser.requests(driver) if not one.startswith(("http://127.0.0.1:", "data:"))]
        assert foreign == []


def errors(page):
    """Returns the errors in the browser, but those by which Gradio 6.17 reports the end of its own stream."""
    return [one for one in browser.errors(page.driver) if "AbortError" not in one]


def best_of(row, count=5):
    return [(LABELS[index], pytest.approx([row[index]], abs=2.5e-3)) for index in np.argsort(-row)[:count]]


def test_the_labels_of_a_photo(page, place, model):
    page.upload(place / "photo.jpg")
    (row,) = expected_posteriors(model, [PHOTO], "dense", (64,), flip=True)
    assert page.bars("#labels") == best_of(row)
    assert "photo.jpg, 90×70 pixels" in page.text("#photo")
    assert errors(page) == []


@pytest.mark.real_data
def test_the_labels_of_a_real_photo(page, model, real_data, tmp_path):
    with tarfile.open(real_data / "flower_photos.tgz") as archive:
        member = next(one for one in archive if one.name.endswith(".jpg") and "rose" in one.name)
        encoded = archive.extractfile(member).read()
    (tmp_path / "rose.jpg").write_bytes(encoded)
    page.upload(tmp_path / "rose.jpg")
    (row,) = expected_posteriors(model, [encoded], "dense", (64,), flip=True)
    assert page.bars("#labels") == best_of(row)


def test_the_map_follows_the_class_and_the_scale(page, place, model):
    page.upload(place / "photo.jpg")
    # The largest Q is chosen at first.
    page.shows("#map", " at Q = 128: 3×4 positions")
    pictures = [page.source("#map")]
    page.choose_class("f")
    page.check("#scales", "64")
    page.shows("#map", "f at Q = 64, 128: 1×1 and 3×4 positions")
    pictures.append(page.source("#map"))
    page.check("#scales", "128")
    page.shows("#map", "f at Q = 64: ")
    pictures.append(page.source("#map"))
    # At Q = 64 the photo is 82 x 64 pixels, on which the net's window has one position.
    scores = numpy_net.score_map(numpy_net.of_layers(model), MEAN_RGB, numpy_net.rescaled(PHOTO, 64))
    shown = re.search(r"f at Q = 64: 1×1 positions, posteriors from (\d\.\d+) to (\d\.\d+)", page.text("#map"))
    assert [float(one) for one in shown.groups()] == pytest.approx([numpy_net.softmax(scores)[0, 0, 5]] * 2, abs=5e-3)
    assert len(set(pictures)) == 3


def test_what_is_chosen_while_a_view_is_drawn_is_shown_afterwards(page, place):
    page.open()
    page.upload(place / "photo.jpg")
    page.shows("#map", " at Q = 128: 3×4 positions")
    page.check("#scales", "64")
    page.check("#scales", "128")
    page.shows("#map", " at Q = 64: 1×1 positions")


def test_both_protocols(page, place, model):
    page.upload(place / "photo.jpg")
    page.tab("Photo or crops")
    shown = page.bars("#protocols")
    dense, crops = (expected_posteriors(model, [PHOTO], way, (64,), flip=True)[0] for way in ("dense", "multi_crop"))
    order = np.argsort(-np.maximum(dense, crops))
    expected = [(LABELS[one], pytest.approx([dense[one], crops[one]], abs=2.5e-3)) for one in order]
    assert shown == expected[: len(shown)]
    assert len(shown) >= 5
    page.tab("Map")


def test_the_reasons_follow_the_method(page, place):
    page.upload(place / "photo.jpg")
    page.tab("Reasons")
    page.shows("#explanation", ": Grad-CAM")
    first = page.source("#explanation")
    page.check("#method", "occlusion")
    page.shows("#explanation", ": occlusion")
    assert page.source("#explanation") != first
    page.tab("Map")


def test_an_example(page):
    page.until(lambda: page.all("#examples .grid-container button"))[0].click()
    page.until(lambda: "daisy_1.png" in page.text("#photo"))
    assert len(page.bars("#labels")) == 5


def test_a_file_that_is_no_image(page, place, tmp_path, capfd):
    page.upload(place / "photo.jpg")
    (tmp_path / "notes.jpg").write_text("not a photo\n" * 100)
    page.upload(tmp_path / "notes.jpg", shows="notes.jpg")
    assert page.text("#photo .problem") == "notes.jpg: not an image in a format that Pillow reads"
    assert page.text("#labels") == ""
    page.until(lambda: not page.all("#map img"))
    assert errors(page) == []
    assert capfd.readouterr().err == ""


def test_a_file_that_is_too_large(page, place, tmp_path):
    (tmp_path / "large.jpg").write_bytes(PHOTO + bytes(1_100_000))
    page.upload(place / "photo.jpg")
    page.clear()
    page.until(lambda: page.all("#file input[type=file]"))[0].send_keys(str(tmp_path / "large.jpg"))
    page.until(lambda: page.text(".toast-body"))
    assert re.search(
        r"exceed.* the maximum allowed size of 1(\.0)? MB.*large\.jpg", page.text(".toast-body"), re.IGNORECASE
    )
    assert page.all("#labels .number") == []


def test_the_page_on_a_phone_at_night(page, place):
    with browser.browser(390, dark=True) as driver:
        narrow = demos.Page(driver, page.url).open()
        narrow.upload(place / "photo.jpg")
        narrow.source("#map")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert narrow.tabs() == ["Map", "Photo or crops", "Reasons"]
        assert max(background(driver)) < 64
    assert min(background(page.driver)) > 192


def background(driver):
    colour = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    return [int(level) for level in re.findall(r"\d+", colour)[:3]]


def test_the_box_of_a_class(place):
    with demos.served(model=place / "boxes.keras") as url, browser.browser(1200) as driver:
        page = demos.Page(driver, url).open()
        assert "start the demo with --classifier" in page.text("header")
        assert page.tabs() == ["Box"]
        page.upload(place / "square.png")
        # Of 64 x 64 pixels, all of which are the centre crop: a quarter of the width, half of the height.
        page.shows("#boxes", "kind a, by the centre of the photo: rows 16 to 48, columns 24 to 40")
        page.choose_class("kind f")
        page.shows("#boxes", "kind f, by the centre of the photo: rows 16 to 48, columns 8 to 56")
        picture = demos.pixels(page.source("#boxes"))
        # The outline's outer colour is yellow; JPEG blurs it.
        assert picture[16, 8:56].mean(axis=0)[:2].min() > 150 > picture[32, 20:44].mean()
