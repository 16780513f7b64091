"""Tests the verb `predict`: formats of photos, the files that it writes, and its errors."""

import csv
import io
import json
import os
import re

import keras
import numpy as np
import pytest
from PIL import Image

from tests.helpers.evaluation_data import CLASSES, expected_posteriors, photo, save_net
from tests.helpers.verbs import call_verb
from vgg_keras import predict
from vgg_keras.data import photo_files
from vgg_keras.evaluation import figures
from vgg_keras.tasks import prediction
from vgg_keras.tasks.options import PredictOptions
from vgg_keras.utils.errors import UserError

SIZE = (90, 70)


@pytest.fixture
def place(tmp_path):
    """Makes a folder with a run in run/ and photos of all formats in photos/."""
    save_net("A", tmp_path / "run")
    (tmp_path / "run" / "label_names.txt").write_text("\n".join(f"kind {name}" for name in CLASSES) + "\n")
    (tmp_path / "photos" / "more").mkdir(parents=True)
    picture = Image.open(io.BytesIO(photo(1, SIZE)))
    for name in ("a.jpg", "b.png", "c.bmp", "d.webp", "more/e.gif"):
        arguments = {"lossless": True} if name.endswith("webp") else {}
        picture.save(tmp_path / "photos" / name, **arguments)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path


def run(place, *arguments):
    call_verb(predict.main, [f"--model={place / 'run'}", *map(str, arguments)], PredictOptions)


def read(path):
    content = json.loads(path.read_text())
    return {entry["file"].rpartition("/")[2]: entry["labels"] for entry in content}


def test_the_model_is_loaded_once(place, loaded_files):
    run(place, place / "photos", f"--output_dir={place / 'out'}", "--class_score_maps")
    assert loaded_files == ["best.keras"]


def test_labels_are_explained_in_pictures(place):
    out = place / "out"
    flags = [f"--output_dir={out}", "--explain=grad_cam", "--class_score_maps", "--test_scales=64,80"]
    run(place, *flags, place / "photos/a.jpg")
    assert sorted(path.name for path in out.iterdir()) == [
        "00000_a.jpg", "00000_a_class_score_map.png", "00000_a_grad_cam.png",
    ]  # fmt: skip
    with Image.open(out / "00000_a_grad_cam.png") as picture:
        assert min(picture.size) > 200
    with pytest.raises(UserError, match=r"^--explain=occlusion needs --output_dir"):
        run(place, "--explain=occlusion", place / "photos/a.jpg")


@pytest.mark.parametrize("method", ["dense", "multi_crop", "center_crop"])
def test_posteriors_against_numpy_and_pillow(method, place):
    run(place, f"--method={method}", "--test_scales=64,80", f"--json={place / 'all.json'}", "--top=6", place / "photos")
    model = save_net("A", place / "same")
    found = read(place / "all.json")
    assert list(found) == ["a.jpg", "b.png", "c.bmp", "d.webp", "e.gif"]
    for name in ("a.jpg", "b.png", "c.bmp", "d.webp"):
        image_bytes = (place / "photos" / name).read_bytes()
        flip = method != "center_crop"
        (expected,) = expected_posteriors(model, [image_bytes], method, (64, 80), flip=flip)
        received = {label["index"]: label["posterior"] for label in found[name]}
        np.testing.assert_allclose([received[index] for index in range(6)], expected, atol=1e-4)
        assert [label["index"] for label in found[name]] == np.argsort(-expected).tolist()
        assert found[name][0]["label"] == f"kind {CLASSES[expected.argmax()]}"


def test_a_photo_is_turned_upright_first(place):
    upright = Image.open(place / "photos" / "b.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation 6: to be turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(place / "turned.png", exif=exif)
    np.testing.assert_array_equal(photo_files.read(place / "turned.png"), np.asarray(upright))


def test_files_and_tables(place, capsys):
    output = place / "out"
    flags = [f"--output_dir={output}", "--class_score_maps", f"--csv={place / 'all.csv'}", "--top=2"]
    run(place, *flags, place / "photos" / "*.png", place / "photos" / "a.jpg", place / "photos" / "a.jpg")
    names = ["00000_b.jpg", "00000_b_class_score_map.png", "00001_a.jpg", "00001_a_class_score_map.png"]
    assert sorted(path.name for path in output.iterdir()) == names
    with Image.open(output / "00001_a.jpg") as annotated:
        assert annotated.width >= SIZE[0]
        assert annotated.height > SIZE[1]
        # The photo itself is unchanged, except for JPEG's losses.
        inside = np.asarray(annotated.convert("RGB"))[: SIZE[1], : SIZE[0]].astype(int)
        assert np.abs(inside - photo_files.read(place / "photos" / "a.jpg")).mean() < 4
        assert (np.asarray(annotated.convert("L"))[SIZE[1] :] < 100).any()  # the text below the photo
    rows = list(csv.DictReader((place / "all.csv").open()))
    assert [(row["file"].rpartition("/")[2], row["rank"]) for row in rows] == [
        ("b.png", "1"), ("b.png", "2"), ("a.jpg", "1"), ("a.jpg", "2"),
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert f"{rows[0]['label']} {float(rows[0]['posterior']):.3f}, {rows[1]['label']}" in printed


def test_the_maps_are_of_the_two_best_labels_at_the_scales_of_the_labels(place, monkeypatch):
    drawn, draw = [], figures.class_score_maps
    monkeypatch.setattr(figures, "class_score_maps", lambda photos: drawn.extend(photos) or draw(photos))
    flags = ["--test_scales=64,80", "--class_score_maps", f"--output_dir={place / 'out'}"]
    run(place, *flags, "--top=1", place / "photos" / "b.png")
    run(place, *flags, "--top=6", f"--json={place / 'all.json'}", place / "photos" / "b.png")
    best, second = read(place / "all.json")["b.png"][:2]
    for mapped in drawn:
        assert (mapped.caption, mapped.photo.shape, mapped.heat_maps.shape) == ("b.png", (70, 90, 3), (70, 90, 2))
        assert mapped.titles == [f"{one['label']} {one['posterior']:.2f}, Q = 64, 80" for one in (best, second)]
    assert len(drawn) == 2


def test_unreadable_photos_are_reported_and_the_rest_goes_on(place, capsys):
    (place / "photos" / "broken.jpg").write_bytes(photo(1, SIZE)[:300])
    (place / "photos" / "empty.png").touch()
    # Pillow raises a NotImplementedError.
    encoded = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(encoded, format="DDS")
    dds = bytearray(encoded.getvalue())
    dds[80:84] = bytes(4)  # the flags of the format of its pixels
    (place / "photos" / "damaged.png").write_bytes(dds)
    with pytest.raises(UserError, match=r"3 of 8 photos cannot be used \(listed above\)"):
        run(place, f"--json={place / 'all.json'}", place / "photos")
    assert len(read(place / "all.json")) == 5
    errors = capsys.readouterr().err
    assert "empty.png: empty file" in errors
    assert "broken.jpg: " in errors
    assert "damaged.png: damaged (NotImplementedError: " in errors


def test_a_photo_too_long_for_memory_is_reported_and_the_rest_goes_on(place, capsys):
    Image.new("RGB", (2000, 2)).save(place / "photos" / "a_line.png")
    Image.new("1", (1_000_001, 1)).save(place / "photos" / "another.png")
    with pytest.raises(UserError, match=r"2 of 7 photos cannot be used \(listed above\)"):
        run(place, "--test_scales=64", f"--json={place / 'all.json'}", place / "photos")
    assert len(read(place / "all.json")) == 5
    # It would have 64 * 64 * 1000 pixels, and 64 * 224 * 224 are allowed.
    message = "a_line.png: is too long and thin (2000x2): with the smallest side 64 it has 4.1 million pixels; crop it"
    errors = capsys.readouterr().err
    assert message in errors
    assert "another.png: is 1,000,001x1 pixels, and TensorFlow decodes images with sides of at most" in errors


def test_bad_input(place):
    with pytest.raises(UserError, match="name photos: files, folders or globs, after the flags"):
        run(place)
    with pytest.raises(
        UserError, match="nowhere: no photo found; name a file, a folder of photos, or a pattern that matches some"
    ):
        run(place, "nowhere")
    with pytest.raises(UserError, match="--class_score_maps needs --output_dir"):
        run(place, "--class_score_maps", place / "photos")
    with pytest.raises(UserError, match="cannot be tested at Q = 32"):
        run(place, "--test_scales=32", place / "photos")
    (place / "run" / "label_names.txt").write_text("one\n")
    with pytest.raises(UserError, match=r"label_names\.txt names 1 classes, the model has 6"):
        run(place, place / "photos")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv=photos/a.jpg", "photos/a.jpg"], "--csv=photos/a.jpg is one of the inputs, and would overwrite it"),
        (["--csv=photos/a.jpg", "photos"], "--csv=photos/a.jpg is one of the inputs, and would overwrite it"),
        (["--json=link.jpg", "photos/*.jpg"], "--json=link.jpg is one of the inputs, and would overwrite it"),
        (["--json=run/best.keras", "photos"], "--json=run/best.keras is one of the inputs, and would overwrite it"),
        (["--csv=run/label_names.txt", "photos"], "--csv=run/label_names.txt is one of the inputs, and would"),
        (["--csv=link.csv", "photos"], "--csv=link.csv is one of the inputs, and would overwrite it"),
        (["--csv=hard.csv", "photos"], "--csv=hard.csv is one of the inputs, and would overwrite it"),
        (["--flagfile=my.cfg", "--csv=my.cfg", "photos"], "--csv=my.cfg is one of the inputs, and would overwrite it"),
        (["--flagfile=my.cfg", "--csv=inner.cfg", "photos"], "--csv=inner.cfg is one of the inputs, and would"),
        (["--csv=o/x", "--output_dir=o/x/sub", "photos"], "--output_dir=o/x/sub lies below --csv=o/x, which is a file"),
        (["--csv=o/x", "--json=o/x/j", "photos"], "--json=o/x/j lies below --csv=o/x, which is a file; choose another"),
        (
            ["--csv=o/00000_a.jpg/x", "--output_dir=o", "photos/a.jpg"],
            "--csv=o/00000_a.jpg/x lies below --output_dir=o",
        ),
        (["--output_dir=taken", "photos/a.jpg"], "taken/00000_a.jpg is a folder, where a file is to be written: move"),
        (["--csv=x", "--json=./x", "photos"], "--csv=x and --json=./x are the same path; choose another --json"),
        (["--csv=out", "--output_dir=out", "photos"], "--csv=out and --output_dir=out are the same path"),
        (
            ["--csv=out/00000_a.jpg", "--output_dir=out", "photos/a.jpg"],
            "--csv=out/00000_a.jpg and --output_dir=out/00",
        ),
        # The picture of the second photo would have the name of the first one.
        (
            ["--output_dir=photos", "photos/00001_z.jpg", "photos/z.jpg"],
            "--output_dir=photos/00001_z.jpg is one of the",
        ),
    ],
)
def test_an_output_that_is_an_input_or_another_output_is_refused(flags, message, place, monkeypatch):
    monkeypatch.chdir(place)
    for name in ("z.jpg", "00001_z.jpg"):
        (place / "photos" / name).write_bytes((place / "photos" / "a.jpg").read_bytes())
    (place / "link.jpg").symlink_to("photos/a.jpg")
    (place / "link.csv").symlink_to("run/label_names.txt")
    (place / "hard.csv").hardlink_to(place / "run" / "label_names.txt")
    (place / "my.cfg").write_text("--flagfile=inner.cfg\n")
    (place / "inner.cfg").write_text("--top=3\n")
    (place / "taken" / "00000_a.jpg").mkdir(parents=True)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    monkeypatch.setattr(prediction, "load_for_inference", None)  # the work does not begin
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        run(place, *flags)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_the_same_labels_may_be_written_into_the_runs_folder_again(place):
    for _ in range(2):
        run(place, f"--csv={place / 'run' / 'labels.csv'}", place / "photos" / "a.jpg")


def test_pictures_have_names_that_can_be_shown(place):
    # A line break, a byte that is not UTF-8, and more characters of two bytes than fit.
    names = [b"a\nb.jpg", b"caf\xe9.jpg", ("\u00fc" * 100).encode() + b".jpg"]
    for name in names:
        (place / "photos" / os.fsdecode(name)).write_bytes((place / "photos" / "a.jpg").read_bytes())
    photos = [place / "photos" / os.fsdecode(name) for name in names]
    run(place, f"--output_dir={place / 'out'}", f"--json={place / 'all.json'}", *photos)
    written = sorted(path.name for path in (place / "out").iterdir())
    assert written == ["00000_a\\nb.jpg", "00001_caf\\xe9.jpg", f"00002_{chr(0xFC) * 75}.jpg"]


def test_a_model_that_takes_blue_first_is_refused(place):
    layers = keras.layers
    theirs = [layers.Conv2D(4, 3, name="block1_conv1"), layers.Flatten(), layers.Dense(6, name="predictions")]
    keras.Sequential([keras.Input((32, 32, 3)), *theirs]).save(place / "theirs.keras")
    message = (
        r"theirs\.keras is of keras\.applications and takes blue first, .*: python -m vgg_keras\.pretrained --source="
    )
    with pytest.raises(UserError, match=message):
        run(place, f"--model={place / 'theirs.keras'}", place / "photos")


def test_without_label_names(place):
    (place / "run" / "label_names.txt").unlink()
    run(place, f"--json={place / 'all.json'}", place / "photos" / "a.jpg")
    first = read(place / "all.json")["a.jpg"][0]
    assert first["label"] == f"class {first['index']}"


@pytest.mark.multiprocess
def test_the_exit_code(place, run_verb):
    (place / "photos" / "empty.png").touch()
    arguments = [f"--model={place / 'run'}", str(place / "photos" / "a.jpg")]
    code, stdout, stderr = run_verb("vgg_keras.predict", *arguments)
    assert (code, "kind " in stdout) == (0, True), stderr
    code, stdout, stderr = run_verb("vgg_keras.predict", *arguments, str(place / "photos" / "empty.png"))
    assert (code, "kind " in stdout) == (1, True)
    assert "error: 1 of 2 photos cannot be used (listed above)" in stderr
    assert "Traceback" not in stderr
