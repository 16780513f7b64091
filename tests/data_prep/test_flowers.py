"""Tests the reading of the flower archive, on the real one and on small imitations."""

import hashlib
import re

import numpy as np
import pytest

from data_prep import flowers
from data_prep.flowers import FlowersOptions, flower_archive
from data_prep.sources import assign_split
from tests.helpers.photos import encode, make_tar, read_pieces
from vgg_keras.utils.errors import UserError


def test_split_is_a_function_of_the_file_name_alone():
    # A file belongs to validation if the first 8 bytes of the SHA-256 of "1795/<name>" are below a tenth of 2^64.
    for name in ("100080576_f52e8ee070_n.jpg", "15922772266_1167a06620.jpg", "a.jpg", "b.jpg"):
        digest = hashlib.sha256(f"1795/{name}".encode()).hexdigest()
        expected = "validation" if int(digest[:16], 16) / 16**16 < 0.1 else "train"
        assert assign_split(name) == assign_split(f"roses/{name}") == assign_split(f"tulips/{name}") == expected


def test_archive(tmp_path):
    files = [(f"flower_photos/{kind}/{n}.jpg", encode(seed=n)) for kind in ("roses", "daisy") for n in range(30)]
    archive = make_tar(tmp_path / "f.tgz", [("flower_photos/LICENSE.txt", b"text"), *files], "gz")
    source = flower_archive(archive, "*.jpg")
    assert source.class_names == ["daisy", "roses"]
    images = read_pieces(source, "train", tmp_path) | read_pieces(source, "validation", tmp_path)
    assert len(images) == 60
    assert images["roses/7.jpg"] == (encode(seed=7), 1)
    assert {piece.size for piece in source.splits["train"].pieces} <= {len(encode(seed=seed)) for seed in range(30)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("daisy/b.jpg", b"")], r"f\.tgz holds no file <folder>/<class>/\*\.jpg, but files such as daisy/b\.jpg; "),
        (
            [("f/daisy/b.png", b"")],
            r"but files such as f/daisy/b\.png; pack it in that layout, or give another --image_pattern$",
        ),
        (
            [("f/d\naisy/b.jpg", b"x"), ("f/b\udcfct/b.jpg", b"x")],
            r"f\.tgz: 2 class folders cannot name a class, .* in the name: b\\xfct, d\\naisy; rename them$",
        ),
        ([], "but no file at all$"),
        ([("f/a/b.jpg", b"x"), ("f/a/b.jpg", b"y")], "a/b.jpg appears more than once"),
    ],
)
def test_wrong_archives(tmp_path, files, message):
    with pytest.raises(UserError, match=message):
        flower_archive(make_tar(tmp_path / "f.tgz", files, "gz"), "*.jpg")


def test_suffixes_in_capitals_and_names_that_are_not_text(tmp_path):
    files = [("f/daisy/1.JPG", b"x"), ("f/daisy/caf\udce9.jpg", b"x"), ("f/roses/a\tb.jpg", b"x")]
    source = flower_archive(make_tar(tmp_path / "f.tgz", files), "*.jpg")
    keys = sorted(piece.key for split in source.splits.values() for piece in split.pieces)
    assert keys == ["daisy/1.JPG", "daisy/caf\udce9.jpg", "roses/a\tb.jpg"]


def test_names_that_begin_with_a_dot_and_the_files_of_macos(tmp_path):
    names = [f"./flower_photos/{kind}/{prefix}1.jpg" for kind in ("roses", "daisy") for prefix in ("._", "")]
    source = flower_archive(make_tar(tmp_path / "f.tgz", [(name, b"x") for name in names], "gz"), "*.jpg")
    images = read_pieces(source, "train", tmp_path) | read_pieces(source, "validation", tmp_path)
    assert images == {"daisy/1.jpg": (b"x", 0), "roses/1.jpg": (b"x", 1)}


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        ("my photos", "is a folder; name the tar, or use python -m data_prep.image_folder --source_dir='my photos' "),
        ("f.tar", "does not exist; did you mean f.tgz?"),
        ("f.tgz", "f.tgz is damaged or truncated (file could not be opened successfully"),
    ],
)
def test_archives_that_are_none(tmp_path, monkeypatch, archive, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my photos").mkdir()
    (tmp_path / "f.tgz").write_bytes(b"no tar")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        flowers.main(FlowersOptions(output_dir="out", archive=archive))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["", "gz"])
def test_missing_and_truncated_archives(tmp_path, compression):
    with pytest.raises(UserError, match=r"absent\.tgz is missing"):
        flower_archive(tmp_path / "absent.tgz", "*.jpg")
    files = [(f"f/a/{n}.jpg", np.random.default_rng(n).bytes(5000)) for n in range(20)]
    archive = make_tar(tmp_path / "f.tgz", files, compression)
    whole = archive.read_bytes()
    # The cuts are inside a file, between two members, which tarfile takes for the end, and inside gzip's checksum.
    for length in (len(whole) // 2, (512 + 5120) * 3, len(whole) - 5 if compression else 10):
        archive.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"f\.tgz is (damaged or )?truncated"):
            flower_archive(archive, "*.jpg")


@pytest.mark.real_data
def test_the_real_archive_is_split_nine_to_one_in_every_class(real_data):
    source = flower_archive(real_data / "flower_photos.tgz", "*.jpg")
    train, validation = ({piece.key for piece in source.splits[split].pieces} for split in ("train", "validation"))
    totals = {"daisy": 662, "dandelion": 936, "roses": 679, "sunflowers": 614, "tulips": 773}
    for kind, total in totals.items():
        in_train, in_validation = (sum(key.startswith(kind) for key in keys) for keys in (train, validation))
        assert in_train + in_validation == total
        assert abs(in_validation - total / 10) < 2
    # Three photos belong to two classes each; no copy of a training photo may be in the validation split.
    assert not {key.split("/")[1] for key in train} & {key.split("/")[1] for key in validation}
