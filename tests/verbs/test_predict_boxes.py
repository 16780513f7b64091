"""Tests that `predict` with a localizer puts boxes where they belong, with pixels worked out by hand and in NumPy."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers import exif_photos, numpy_net
from tests.helpers.evaluation_data import CLASSES, MEAN_RGB, photo, save_net
from tests.helpers.localizers import LABELS, save_localizer
from tests.helpers.verbs import call_verb
from vgg_keras import predict
from vgg_keras.models import saving
from vgg_keras.tasks.options import PredictOptions
from vgg_keras.utils.errors import UserError

# Centre x, centre y, width and height of the box that the localizer of one box predicts in its window of 64 pixels.
BOX = (0.375, 0.625, 0.5, 0.25)
# Those of each class of the other one.
BOXES = [(0.5, 0.5, 0.25 + 0.125 * (index % 3), 0.5 - 0.125 * (index % 2)) for index in range(len(CLASSES))]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a classifier in classes/, and the localizers scr.keras and pcr.keras."""
    folder = tmp_path_factory.mktemp("boxes")
    save_net("A", folder / "classes")
    (folder / "classes" / "label_names.txt").write_text("".join(f"{label}\n" for label in LABELS))
    save_localizer(folder / "scr.keras", "scr", [BOX])
    save_localizer(folder / "pcr.keras", "pcr", BOXES)
    return folder


def run(place, kind, *arguments):
    flags = [f"--model={place / f'{kind}.keras'}", f"--classifier={place / 'classes'}"]
    call_verb(predict.main, [*flags, *map(str, arguments)], PredictOptions)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        # At Q = 64 it is 80x64, and the only window covers the columns 8 to 72. The centre is at 8 + 24 of 80 columns,
        # 200 of 500; the width 32 of 80, 200 of 500; with y it is 40 of 64, 250 of 400, and 16 of 64, 100 of 400.
        ((500, 400), (200, 100, 300, 300)),
        # 64x70 (70.4): columns 112.5 -+ 75 of 300; rows (3 + 40 -+ 8) / 70 of 330, 165 to 240.43.
        ((300, 330), (165, 38, 240, 188)),
        # Smaller than the input: 64x64, so 12 of 32 -+ 8, and 20 -+ 4.
        ((32, 32), (16, 4, 24, 20)),
    ],
)
def test_pixels_worked_out_by_hand(place, tmp_path, size, box):
    Image.new("RGB", size, (90, 60, 150)).save(tmp_path / "a.png")
    run(place, "scr", f"--json={tmp_path / 'a.json'}", "--top=6", tmp_path / "a.png")
    (found,) = json.loads((tmp_path / "a.json").read_text())
    expected = dict(zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True))
    assert [label["box"] for label in found["labels"]] == [expected] * 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_box_is_drawn_on_the_upright_photo(place, tmp_path, orientation):
    upright = Image.new("RGB", (500, 400), (90, 60, 150))
    upright.paste((200, 200, 60), (0, 0, 250, 100))
    (tmp_path / "a.png").write_bytes(exif_photos.turned_photo(orientation, upright, "PNG"))
    flags = [f"--output_dir={tmp_path / 'out'}", f"--csv={tmp_path / 'a.csv'}", "--top=2"]
    run(place, "scr", *flags, tmp_path / "a.png")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [[row[side] for side in ("ymin", "xmin", "ymax", "xmax")] for row in rows] == [
        ["200", "100", "300", "300"]
    ] * 2
    assert [row["rank"] for row in rows] == ["1", "2"]
    with Image.open(tmp_path / "out" / "00000_a.jpg") as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)[:400, :500]
    changed = np.abs(drawn - np.asarray(upright)).max(axis=-1) > 100
    rows, columns = np.nonzero(changed)
    # JPEG blurs colours by a pixel or two.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((200, 299, 100, 299), abs=2)
    for row, column in ((201, 200), (298, 200), (250, 101), (250, 298)):
        assert drawn[row, column] == pytest.approx([255, 255, 0], abs=60)
    assert not changed[210:290, 110:290].any()


def test_each_class_has_its_own_box_where_its_posterior_is_highest(place, tmp_path):
    # At Q = 64 the photo is 128x64: three windows, 32 columns apart, whose boxes are too far apart to be merged.
    encoded = photo(3, (256, 128))
    (tmp_path / "a.jpg").write_bytes(encoded)
    run(place, "pcr", f"--json={tmp_path / 'a.json'}", "--top=6", tmp_path / "a.jpg")
    (found,) = json.loads((tmp_path / "a.json").read_text())
    weights = numpy_net.of_layers(saving.load_model(place / "classes" / "best.keras"))
    scores = numpy_net.score_map(weights, MEAN_RGB, numpy_net.rescaled(encoded, 64))
    assert scores.shape == (1, 3, 6)
    mean = numpy_net.softmax(scores.mean(axis=(0, 1)))
    assert [label["index"] for label in found["labels"]] == np.argsort(-mean).tolist()
    windows = numpy_net.softmax(scores)[0].argmax(axis=0)
    assert len(set(windows.tolist())) > 1
    for label in found["labels"]:
        index = label["index"]
        _, _, width, height = BOXES[index]
        assert label["label"] == LABELS[index]
        assert label["posterior"] == pytest.approx(mean[index], abs=2e-3)
        # In pixels of the photo, of which two make one of the net's.
        center = 2 * (32 * windows[index] + 32)
        assert list(label["box"].values()) == [
            64 - 64 * height,
            center - 64 * width,
            64 + 64 * height,
            center + 64 * width,
        ]


def test_a_photo_too_long_for_memory_is_reported_and_the_table_shows_boxes(place, tmp_path, capsys):
    Image.new("RGB", (2000, 2)).save(tmp_path / "line.png")
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match=r"1 of 2 photos cannot be used \(listed above\)"):
        run(place, "scr", tmp_path)
    printed = capsys.readouterr()
    assert "line.png: is too long and thin (2000x2)" in printed.err
    assert "ymin, xmin, ymax, xmax" in printed.out
    assert "16, 4, 24, 20" in printed.out


def test_what_does_not_fit_together(place, tmp_path):
    Image.new("RGB", (70, 80)).save(tmp_path / "a.png")
    arguments = [f"--csv={tmp_path / 'a.csv'}", tmp_path / "a.png"]
    with pytest.raises(UserError, match=r"scr\.keras predicts boxes, not classes: predict takes it with --classifier"):
        call_verb(predict.main, [f"--model={place / 'scr.keras'}", str(tmp_path / "a.png")], PredictOptions)
    with pytest.raises(UserError, match=r"best\.keras predicts classes, not boxes; train one with --task=localization"):
        run(place, "scr", f"--model={place / 'classes'}", *arguments)
    with pytest.raises(UserError, match=r"--method=center_crop is not for .*, which predicts boxes; it is dense"):
        run(place, "scr", "--method=center_crop", *arguments)
    for flag in (
        "--average=posteriors",
        "--noflip",
        "--class_score_maps",
        "--explain=grad_cam",
    ):
        name = flag.partition("=")[0].replace("--no", "--")
        with pytest.raises(UserError, match=f"{name}=.* is for models that predict classes; leave it out for one that"):
            run(place, "scr", flag, f"--output_dir={tmp_path / 'out'}", *arguments)
    with pytest.raises(UserError, match=r"--classifier=.*pcr\.keras predicts boxes, not classes; name a net that pred"):
        run(place, "scr", f"--classifier={place / 'pcr.keras'}", *arguments)
    save_net("A", tmp_path / "larger", 96, "96")
    with pytest.raises(
        UserError, match=r"--classifier=.*looks at 96x96 pixels, .*scr\.keras at 64x64.*--input_size=64"
    ):
        run(place, "scr", f"--classifier={tmp_path / 'larger'}", *arguments)
    save_net("A", tmp_path / "others")
    (tmp_path / "others" / "class_indices.json").write_text(json.dumps({f"x{index}": index for index in range(6)}))
    with pytest.raises(UserError, match="know other classes: 'x0' where the second has 'a'"):
        run(place, "scr", f"--classifier={tmp_path / 'others'}", *arguments)
    for path in (place / "scr.keras", place / "classes" / "best.keras", place / "classes" / "label_names.txt"):
        with pytest.raises(UserError, match="is one of the inputs, and would overwrite it"):
            run(place, "scr", f"--csv={path}", tmp_path / "a.png")


def test_a_localiser_that_diverged_is_refused(place, tmp_path):
    save_localizer(tmp_path / "scr.keras", "scr", [(0.5, 0.5, np.nan, 0.5)])
    (tmp_path / "a.jpg").write_bytes(photo(1, (70, 80)))
    with pytest.raises(UserError, match=r"scr\.keras gives boxes that are not numbers: its training diverged"):
        run(place, "scr", f"--model={tmp_path / 'scr.keras'}", tmp_path / "a.jpg")


def test_a_classifier_writes_what_it_always_wrote(place, tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo(1, (70, 80)))
    flags = [f"--csv={tmp_path / 'a.csv'}", f"--json={tmp_path / 'a.json'}", f"--output_dir={tmp_path / 'out'}"]
    call_verb(predict.main, [f"--model={place / 'classes'}", *flags, str(tmp_path / "a.jpg")], PredictOptions)
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "file,rank,label,index,posterior"
    (found,) = json.loads((tmp_path / "a.json").read_text())
    assert set(found["labels"][0]) == {"label", "index", "posterior"}
    with Image.open(tmp_path / "out" / "00000_a.jpg") as picture:
        inside = np.asarray(picture.convert("RGB")).astype(int)[:80, :70]
    assert np.abs(inside - np.asarray(Image.open(io.BytesIO(photo(1, (70, 80)))))).mean() < 4
