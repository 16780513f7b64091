"""Tests that records and side files are written completely or not at all."""

import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep.builder import PrepareOptions, write_dataset
from tests.helpers.photos import encode, make_source, read, write
from tests.helpers.processes import start_verb
from vgg_keras.utils import console, errors
from vgg_keras.utils.errors import UserError


def test_records_labels_and_side_files(tmp_path, capsys):
    images = [(f"{seed}.jpg", encode(seed=seed)) for seed in range(5)]
    with console.speaking(True):
        write(make_source(images), tmp_path / "out")
    assert read(tmp_path / "out", "train") == {key: (data, 0) for key, data in images}
    assert (tmp_path / "out" / "label_names.txt").read_text() == "a\n"
    assert json.loads((tmp_path / "out" / "class_indices.json").read_text()) == {"a": 0}
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
    images = [(f"{seed}.jpg", encode((60, 40), seed=seed)) for seed in range(30)]
    write_dataset(
        make_source(images), PrepareOptions(output_dir=str(tmp_path / "two"), resize_smallest_side=20, num_workers=2)
    )
    write(make_source(images), tmp_path / "one", resize_smallest_side=20)
    # Lists are compared, because the order of the records has to be the same too.
    assert list(read(tmp_path / "two", "train").items()) == list(read(tmp_path / "one", "train").items())
    assert (tmp_path / "two/rgb_statistics.json").read_text() == (tmp_path / "one/rgb_statistics.json").read_text()


def test_bad_images_are_all_named_and_nothing_is_written(tmp_path, capsys):
    images = [("good", encode()), ("empty", b""), ("text", b"text")]
    message = r"2 images do not decode .*--skip_bad_images"
    with console.speaking(True), pytest.raises(UserError, match=message):
        write(make_source(images), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    stderr = capsys.readouterr().err
    assert "train: empty does not decode: empty file" in stderr
    assert "train: text does not decode: not an image" in stderr


def test_skipped_bad_images_are_listed(tmp_path):
    write(make_source([("good", encode()), ("empty", b"")]), tmp_path / "out", skip_bad_images=True)
    assert (tmp_path / "out" / "bad_images.txt").read_text() == "train\tempty\tempty file\n"
    assert list(read(tmp_path / "out", "train")) == ["good"]


@pytest.mark.multiprocess
def test_killed_it_leaves_nothing_under_the_final_name_and_runs_again(tmp_path, run_verb):
    for kind in ("a", "b"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(200):
            (tmp_path / "photos" / kind / f"{number}.jpg").write_bytes(encode((200, 200), seed=number))
    arguments = ("data_prep.image_folder", "--source_dir=photos", "--output_dir=out", "--num_workers=1")
    process = start_verb(*arguments, cwd=tmp_path)
    while not list((tmp_path / "out.incomplete").glob("*/*")):  # until the writer has started
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out").exists()
    code, _, stderr = run_verb(*arguments)
    assert code == 0, stderr
    assert len(read(tmp_path / "out", "train")) + len(read(tmp_path / "out", "validation")) == 400
    assert not (tmp_path / "out.incomplete").exists()


def test_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        images = [(f"{seed}", encode((300, 300), seed=seed)) for seed in range(10)]
        with pytest.raises(Exception, match=r"(?i)no space left on device") as caught:
            write(make_source(images), disk / "out")
        assert errors.explain(caught.value).startswith("the disk is full")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([("same", encode()), ("same", encode(seed=1))], "the key same appears twice"),
        ([("bad", b"")], "train: no images that decode"),
        ([], "train: no images"),
    ],
)
def test_refused(tmp_path, images, message):
    with pytest.raises(UserError, match=message):
        write(make_source(images), tmp_path / "out", skip_bad_images=True)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_touched(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="exists; remove it or choose another"):
        write(make_source([("good", encode())]), tmp_path)
