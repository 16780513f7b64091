"""Tests that records and side files are written completely or not at all."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import parts
from data_prep.builder import PrepareOptions, write_dataset
from tests.helpers import photos
from tests.helpers.paths import folder_content
from tests.helpers.photos import decoded, encode, make_source, make_split, read, write
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError


def test_records_labels_and_side_files(tmp_path, capsys):
    images = [(f"{seed}.jpg", encode(seed=seed)) for seed in range(5)]
    with console.speaking(True):
        write(make_source(images), tmp_path / "out")
    assert read(tmp_path / "out", "train") == {key: (data, 0) for key, data in images}
    assert (tmp_path / "out" / "label_names.txt").read_text() == "a\n"
    assert json.loads((tmp_path / "out" / "class_indices.json").read_text()) == {"a": 0}
    assert json.loads((tmp_path / "out" / "class_names.json").read_text()) == {"0": "a"}
    assert not (tmp_path / "out.incomplete").exists()
    assert "images" in capsys.readouterr().out


def test_pairs_of_image_and_label(tmp_path):
    write(make_source([("only.png", encode((8, 6), image_format="PNG"))]), tmp_path / "out")
    dataset = tfds.builder_from_directory(tmp_path / "out").as_dataset(split="train", as_supervised=True)
    ((image, label),) = dataset.as_numpy_iterator()
    # The pixels that `encode` draws from seed 0; a PNG keeps them.
    np.testing.assert_array_equal(image, np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    assert label == 0


@pytest.mark.multiprocess
def test_workers_change_nothing(tmp_path):
    # 160 images become three sections of one record file.
    images = [(f"{seed}.jpg", encode((60, 40), seed=seed)) for seed in range(160)]
    images[7] = ("7.jpg", b"text")
    for workers in (1, 2, 3):
        options = PrepareOptions(
            output_dir=str(tmp_path / str(workers)),
            num_workers=workers,
            resize_smallest_side=20,
            skip_bad_images=True,
        )
        write_dataset(make_source(images), options)
    one, two, three = (folder_content(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert one == two == three
    assert one["bad_images.txt"].startswith(b"train\t7.jpg\tnot an image")


def test_statistics_do_not_depend_on_the_division(tmp_path):
    images = [(f"{seed}.png", encode((9, 7), seed=seed, image_format="PNG")) for seed in range(130)]
    write(make_source(images), tmp_path / "out")
    pixels = np.concatenate([decoded(data).reshape(-1, 3) for _, data in images]).astype(np.int64)
    statistics = json.loads((tmp_path / "out" / "rgb_statistics.json").read_text())
    assert statistics["num_pixels"] == 130 * 63
    assert statistics["mean"] == [int(total) / (130 * 63) for total in pixels.sum(axis=0)]


def test_bad_images_are_all_named_and_no_data_set_is_written(tmp_path, capsys):
    images = [("good", encode()), ("empty", b""), ("text", b"text")]
    message = r"2 images cannot be used .*--skip_bad_images"
    with console.speaking(True), pytest.raises(UserError, match=message):
        write(make_source(images), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.incomplete"]
    stderr = capsys.readouterr().err
    assert "train: empty cannot be used: empty file" in stderr
    assert "train: text cannot be used: not an image" in stderr
    assert f"{tmp_path / 'out.incomplete'}: 4 of 4 images are finished and kept; give the same command" in stderr


def test_bad_images_are_left_out_on_the_second_try_without_another_decode(tmp_path, monkeypatch, capsys):
    images = [("good", encode()), ("empty", b"")]
    with pytest.raises(UserError, match="what is finished is kept"):
        write(make_source(images), tmp_path / "out")
    monkeypatch.setattr(parts, "prepare", None)
    with console.speaking(True):
        write(make_source(images), tmp_path / "out", skip_bad_images=True)
    output = capsys.readouterr()
    assert "out.incomplete: 2 of 2 parts, with 3 of 3 images, are kept from the run that was ended" in output.out
    assert "train: empty cannot be used: empty file" in output.err
    assert list(read(tmp_path / "out", "train")) == ["good"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_skipped_bad_images_are_listed(tmp_path):
    write(make_source([("z", b""), ("good", encode()), ("empty", b"")]), tmp_path / "out", skip_bad_images=True)
    assert (tmp_path / "out" / "bad_images.txt").read_text() == "train\tempty\tempty file\ntrain\tz\tempty file\n"
    assert list(read(tmp_path / "out", "train")) == ["good"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([("same", encode()), ("same", encode(seed=1))], "the key same appears twice"),
        ([], "train: no images"),
    ],
)
def test_refused(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        write(make_source(images), tmp_path / "out", skip_bad_images=True)
    assert list(tmp_path.iterdir()) == []


def test_no_image_decodes(tmp_path):
    with pytest.raises(UserError, match="train: no images that can be used"):
        write(make_source([("bad", b"")]), tmp_path / "out", skip_bad_images=True)
    assert not (tmp_path / "out").exists()


def test_an_empty_class(tmp_path):
    source = dataclasses.replace(make_source([("bad", b""), ("good", encode())]), class_names=["a", "b"])
    with pytest.raises(UserError, match="train: no image of class b"):
        write(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []  # refused before an image was read
    splits = source.splits | {"train": make_split([("bad", b""), ("good", encode())], [1, 0])}
    with pytest.raises(UserError, match="train: no image of class b"):
        write(dataclasses.replace(source, splits=splits), tmp_path / "out", skip_bad_images=True)


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="exists; remove it or choose another"):
        write(make_source([("good", encode())]), tmp_path)


def test_a_photo_that_the_disk_cannot_read_is_that_photos_error(tmp_path, capsys, monkeypatch):
    def read(images, piece):
        if piece.key == "bad":
            raise OSError(5, "Input/output error")
        return images[piece.mark]

    monkeypatch.setattr(photos, "_read", read)
    images = [("bad", encode()), ("good", encode())]
    with pytest.raises(UserError, match="1 image cannot be used"):
        write(make_source(images), tmp_path / "out")
    write(make_source(images), tmp_path / "out", skip_bad_images=True)
    assert (tmp_path / "out" / "bad_images.txt").read_text() == "train\tbad\tit cannot be read (Input/output error)\n"
