"""Tests the reading of PASCAL VOC's layout, and what the records of such a folder hold."""

import io
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_prep import image_folder, verify, voc
from data_prep.verify import VerifyOptions
from data_prep.voc import VocOptions
from tests.helpers.annotations import annotation_xml, write_voc
from tests.helpers.photos import encode
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError

# Columns 21 to 40 and rows 11 to 20 of a photo of 100x50 pixels: the edges 20 and 40 of 100, and 10 and 20 of 50.
CORNERS, BOX = (21, 11, 40, 20), (0.2, 0.2, 0.4, 0.4)
# The images of each set of a folder with one class an image.
SPLITS = {
    "train": {
        "a1": [("cat", *CORNERS)],
        "a2": [("dog", *CORNERS), ("dog", 1, 1, 100, 50, True)],
        "a3": [("cat", 100, 50, 100, 50)],
    },
    "val": {"b1": [("dog", *CORNERS)]},
}


def run(source_dir, *arguments):
    flags = [f"--source_dir={source_dir}", f"--output_dir={source_dir.with_name('out')}", "--num_workers=1", *arguments]
    call_verb(voc.main, flags, VocOptions)
    return source_dir.with_name("out")


def last_lines(printed, count):
    return printed.splitlines()[-count:]


def read(folder, split):
    """Reads a split with TFDS alone: {file name: its record as a dictionary}."""
    dataset = tfds.builder_from_directory(folder).as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()})
    return {example["file_name"].decode(): example for example in dataset.as_numpy_iterator()}


def boxes(example):
    return [pytest.approx(box) for box in example["objects"]["bbox"].tolist()]


def test_one_class_an_image(tmp_path, capsys):
    out = run(write_voc(tmp_path / "photos", SPLITS | {"test": {"c1": [("cat", *CORNERS)]}}))
    train = read(out, "train")
    assert {name: int(example["label"]) for name, example in train.items()} == {"a1.jpg": 0, "a2.jpg": 1, "a3.jpg": 0}
    assert boxes(train["a1.jpg"]) == [BOX]
    assert boxes(train["a2.jpg"]) == [BOX, (0, 0, 1, 1)]
    assert boxes(train["a3.jpg"]) == [(0.98, 0.99, 1, 1)]
    assert train["a2.jpg"]["objects"]["is_difficult"].tolist() == [False, True]
    assert train["a2.jpg"]["objects"]["label"].tolist() == [1, 1]
    assert train["a1.jpg"]["image"] == encode((100, 50), seed=0)
    assert {split: list(read(out, split)) for split in ("validation", "test")} == {
        "validation": ["b1.jpg"],
        "test": ["c1.jpg"],
    }
    assert (out / "label_names.txt").read_text() == "cat\ndog\n"
    printed = capsys.readouterr().out
    assert re.search(r"boxes +│ +4 │ +1 │ +1 │", printed)
    assert last_lines(printed, 3) == [
        f"train a classifier:  python -m vgg_keras.train --flagfile=configs/my_photos.cfg --data_dir={out} "
        "--output_dir=runs/out_classifier",
        f"train a localizer, which predicts boxes:  python -m vgg_keras.train --flagfile=configs/my_boxes.cfg "
        f"--data_dir={out} --output_dir=runs/out",
        "  ImageNet's convolutions are downloaded; without a network, give --init_from=FILE",
    ]
    call_verb(verify.main, [f"--data_dir={out}"], VerifyOptions)
    run(tmp_path / "photos")
    assert "is there already" in capsys.readouterr().out


def test_several_classes_an_image(tmp_path, capsys):
    splits = {
        "train": {"a1": [("dog", *CORNERS), ("cat", *CORNERS), ("dog", *CORNERS, True)], "a2": []},
        "val": {"b1": [("cat", *CORNERS, True), ("dog", *CORNERS)]},
    }
    out = run(write_voc(tmp_path / "photos", splits))
    train = read(out, "train")
    assert "label" not in train["a1.jpg"]
    assert train["a1.jpg"]["labels"].tolist() == train["a1.jpg"]["labels_no_difficult"].tolist() == [0, 1]
    assert train["a1.jpg"]["objects"]["label"].tolist() == [1, 0, 1]
    assert [train["a2.jpg"][name].tolist() for name in ("labels", "labels_no_difficult")] == [[], []]
    assert train["a2.jpg"]["objects"]["bbox"].shape == (0, 4)
    (one,) = read(out, "validation").values()
    assert (one["labels"].tolist(), one["labels_no_difficult"].tolist()) == ([0, 1], [1])
    printed = capsys.readouterr().out
    assert "3 images with objects of several classes or of none (a1.jpg: cat, dog): every image gets a list" in printed
    assert "vgg_keras.train" not in printed
    assert last_lines(printed, 2) == [
        "fit linear classifiers on the features of a net from ImageNet:  python -m vgg_keras.features "
        f"--model=models/vgg16.keras --test_scales=256,384 --classifier --data_dir={out} "
        "--output=evaluations/out/features.npz",
        "  the net is written by:  python -m vgg_keras.pretrained --source=keras_applications --net=D "
        "--output=models/vgg16.keras",
    ]
    # One image has both classes, one has none.
    assert re.search(r"cat +│ +1 │ +1 │", printed)
    assert re.search(r"images +│ +2 │ +1 │", printed)
    call_verb(verify.main, [f"--data_dir={out}"], VerifyOptions)


def test_one_class_alone_has_nothing_to_classify(tmp_path, capsys):
    cats = [("cat", *CORNERS)]
    run(write_voc(tmp_path / "photos", {"train": {"a1": cats, "a2": cats}, "val": {"b1": cats}}))
    printed = capsys.readouterr().out
    assert "configs/my_boxes.cfg" in printed
    assert "configs/my_photos.cfg" not in printed


def test_other_depths_suffixes_and_sets(tmp_path):
    root = write_voc(tmp_path / "VOCdevkit" / "VOC2007", SPLITS, image_sets="ImageSets")
    (root / "JPEGImages" / "a1.jpg").rename(root / "JPEGImages" / "a1.PNG")
    # The validation images are those of trainval that are not in train; a set of one class is passed over.
    (root / "ImageSets" / "val.txt").rename(root / "ImageSets" / "trainval.txt")
    with (root / "ImageSets" / "trainval.txt").open("a", encoding="utf-8") as file:
        file.write("\na1\na2\na3\n")
    (root / "ImageSets" / "cat_train.txt").write_text("a1  1\n")
    notes = []
    source = voc.voc(tmp_path, "x", notes.append)
    assert {split: [piece.key for piece in some.pieces] for split, some in source.splits.items()} == {
        "train": ["a1.PNG", "a2.jpg", "a3.jpg"],
        "validation": ["b1.jpg"],
    }
    assert notes == []
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", SPLITS)
    with pytest.raises(
        UserError, match=r"holds 2 data sets; use one of --source_dir=\S+VOC2007, --source_dir=\S+VOC20"
    ):
        voc.voc(tmp_path, "x")


def test_a_test_split_of_a_contest_has_no_annotations(tmp_path):
    root = write_voc(tmp_path / "photos", SPLITS | {"test": {"c1": [], "c2": []}})
    for name in ("c1", "c2"):
        (root / "Annotations" / f"{name}.xml").unlink()
    out = run(root)
    assert [int(example["label"]) for example in read(out, "test").values()] == [-1, -1]


def test_the_annotations_of_a_few_test_images_are_those_of_other_tasks(tmp_path, capsys):
    root = write_voc(tmp_path / "photos", SPLITS | {"test": {"c1": [], "c2": [], "c3": [("cat", *CORNERS)]}})
    for name in ("c1", "c2"):
        (root / "Annotations" / f"{name}.xml").unlink()
    out = run(root)
    assert [int(example["label"]) for example in read(out, "test").values()] == [-1, -1, -1]
    assert "test: 1 of 3 images have annotations; it is stored without labels" in capsys.readouterr().out


def test_boxes_of_photos_that_are_turned_and_shrunk(tmp_path):
    root = write_voc(tmp_path / "photos", SPLITS)
    # Stored with 100 columns and 50 rows; the viewer turns it clockwise, so that the left side comes to the top.
    pixels = np.full((50, 100, 3), 255, np.uint8)
    pixels[10:20, 20:40] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(root / "JPEGImages" / "a1.jpg", exif=exif, quality=95)
    (example,) = (
        example for name, example in read(run(root, "--resize_smallest_side=25"), "train").items() if "a1" in name
    )
    stored = np.asarray(Image.open(io.BytesIO(example["image"])))
    assert stored.shape == (50, 25, 3)
    # Columns 20 to 40 of 100 become rows; rows 10 to 20 of 50, counted from the bottom, become columns.
    assert boxes(example) == [(0.2, 1 - 0.4, 0.4, 1 - 0.2)]
    assert stored[11:19, 16:19].max() < 60
    assert min(stored[:9].min(), stored[21:].min(), stored[:, :14].min(), stored[:, 21:].min()) > 200


def change(what, content=None):
    """Returns a function that changes a file of a folder, or removes it."""

    def changed(root):
        path = root / what
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)

    return changed


A3, MAIN = "Annotations/a3.xml", "ImageSets/Main"
BILLION = b'<!DOCTYPE a [<!ENTITY b "bb">]><annotation><object><name>&b;</name></object></annotation>'
FAULTS = {
    "missing annotation": (change(A3), "Annotations/a3.xml: missing, and train.txt names it"),
    "missing photo": (change("JPEGImages/a3.jpg"), "JPEGImages/a3: missing, and train.txt names it"),
    "no XML": (change(A3, b"text"), "a3.xml: it is no XML: syntax error: line 1, column 0"),
    "entities": (change(A3, BILLION), "a3.xml: it has a DOCTYPE"),
    "another size": (
        change(A3, annotation_xml([("cat", *CORNERS)], (50, 100))),
        "a3.xml is of an image of 50x100 pixels, this one has 100x50",
    ),
    "outside": (
        change(A3, annotation_xml([("cat", 90, 11, 120, 20)])),
        "a3.xml: the box with xmin=90, ymin=11, xmax=120, ymax=20 is not inside the image of 100x50 pixels",
    ),
    "reversed": (
        change(A3, annotation_xml([("cat", 40, 11, 21, 20)])),
        "a3.xml: the box with xmin=40, .* is empty or rev",
    ),
    "truncated photo": (change("JPEGImages/a3.jpg", encode((100, 50))[:-40]), "truncated"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_images_are_named_or_left_out(tmp_path, capsys, fault):
    damage, problem = FAULTS[fault]
    root = write_voc(tmp_path / "photos", SPLITS)
    damage(root)
    with pytest.raises(UserError, match="--skip_bad_images") as caught:
        run(root)
    assert re.search(problem, f"{caught.value} {capsys.readouterr().err}")
    assert not (tmp_path / "out").exists()
    out = run(root, "--skip_bad_images")
    assert set(read(out, "train")) == {"a1.jpg", "a2.jpg"}
    (line,) = (out / "bad_images.txt").read_text().splitlines()
    assert re.match(r"train\ta3(\.jpg)?\t", line)
    assert re.search(problem.rpartition("/")[2], line)


def test_boxes_past_the_border_are_counted(tmp_path, capsys):
    root = write_voc(tmp_path / "photos", SPLITS)
    (root / A3).write_bytes(annotation_xml([("cat", 0, 11, 103, 20), ("cat", *CORNERS)]))
    out = run(root)
    assert boxes(read(out, "train")["a3.jpg"]) == [(0.2, 0, 0.4, 1), BOX]
    assert re.search(r"clipped boxes +│ +1 │ +0 │", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (change(f"{MAIN}/val.txt"), r"ImageSets has no image set val\.txt; it has train\.txt; list the names"),
        (
            lambda root: (root / MAIN / "train.txt").rename(root / MAIN / "tarin.txt"),
            r"has no image set train\.txt; it has val\.txt, tarin\.txt; did you mean tarin\.txt\?",
        ),
        (change(f"{MAIN}/val.txt", b"\n"), r"val\.txt names no image; list"),
        (change(f"{MAIN}/val.txt", b"a1\nb1\n"), r"train\.txt and val\.txt share 1 image, such as a1; an image may"),
        (change(f"{MAIN}/val.txt", b"b1\nb1\n"), r"val\.txt names b1 more than once"),
        (change(f"{MAIN}/val.txt", b"\xff\n"), r"val\.txt is not UTF-8 text"),
        (change(f"{MAIN}/valid.txt", b"b1\n"), r"val\.txt and valid\.txt are of the same split"),
        (change("JPEGImages/a1.png", b""), r"a1\.png and a1\.jpg have the same name but for the suffix"),
        (
            lambda root: (root / "Annotations").rename(root / "xml"),
            "holds no folder with JPEGImages, Annotations and Im",
        ),
    ],
)
def test_wrong_folders(tmp_path, damage, problem):
    root = write_voc(tmp_path / "photos", SPLITS)
    damage(root)
    with pytest.raises(UserError, match=problem) as caught:
        voc.voc(root, "x")
    assert "\n" not in str(caught.value)


def test_a_set_of_an_unknown_name_is_told(tmp_path):
    root = write_voc(tmp_path / "photos", SPLITS)
    change(f"{MAIN}/night.txt", b"a1\n")(root)
    notes = []
    voc.voc(root, "x", notes.append)
    assert [note.partition(": ")[2] for note in notes] == ["passed over image sets of no split: night.txt"]


def test_a_changed_annotation_is_noticed(tmp_path):
    root = write_voc(tmp_path / "photos", SPLITS)
    run(root)
    (root / A3).write_bytes(annotation_xml([("cat", *CORNERS)]))
    with pytest.raises(UserError, match=r"another data set \(the boxes of train have changed\)"):
        run(root)


@pytest.mark.real_data
def test_real_kangaroos_and_raccoons(real_data, tmp_path):
    import tarfile

    with tarfile.open(real_data / "animals_voc.tgz") as tar:
        tar.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    source = voc.voc(root, "animals")
    assert {split: len(some.pieces) for split, some in source.splits.items()} == {"train": 242, "validation": 61}
    assert (source.class_names, source.multi_label) == (["kangaroo", "raccoon"], False)
    out = run(root, "--skip_bad_images")
    assert (out / "bad_images.txt").read_text().startswith("train\tkangaroo_0080.jpg\t")
    train = read(out, "train")
    assert len(train) == 241
    # 640x464 pixels; columns 174 to 285 and rows 74 to 358, columns 374 to 598 and rows 159 to 396.
    assert boxes((train | read(out, "validation"))["kangaroo_0017.jpg"]) == [
        (73 / 464, 173 / 640, 358 / 464, 285 / 640),
        (158 / 464, 373 / 640, 396 / 464, 598 / 640),
    ]


def test_image_folder_names_the_verb_for_this_layout(tmp_path):
    root = write_voc(tmp_path / "my photos", SPLITS)
    with pytest.raises(UserError, match=r"has PASCAL VOC's layout; use .* data_prep\.voc --source_dir='\S+my photos' "):
        image_folder.image_folder(root, "", 0.1, "x", [].append)
