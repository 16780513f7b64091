"""Tests the estimate of the space that a data set needs, against the files that are written."""

import doctest
import shutil
import subprocess
from collections import namedtuple

import pytest

from data_prep import space
from data_prep.image_preparation import Preparation
from data_prep.plan import make_plan
from tests.helpers.photos import encode, make_source, write
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError

Usage = namedtuple("Usage", "total used free")
IMAGES = [(f"{seed}.jpg", encode((100, 80), seed=seed)) for seed in range(120)]


@pytest.fixture
def free(monkeypatch):
    """Returns a function that sets how many bytes are free."""
    return lambda count: monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, count))


def test_examples():
    assert doctest.testmod(space) == (0, 1)


def record_bytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*.tfrecord-*"))


def test_the_need_is_that_of_the_files(tmp_path):
    write(make_source(IMAGES), tmp_path / "out")
    train = (tmp_path / "out" / "test-train.tfrecord-00000-of-00001").stat().st_size
    plan = make_plan(make_source(IMAGES), Preparation(), tmp_path / "x")
    ones = {"train": 1.0, "validation": 1.0}
    # The record file of training is joined from two sections, which exist beside it for a while.
    assert [len(split.sections) for split in plan.splits] == [2, 1]
    assert space.needed_bytes(plan, [], ones) == record_bytes(tmp_path / "out") + train
    first, second = plan.splits[0].sections
    both = space.needed_bytes(plan, [first], ones) + space.needed_bytes(plan, [second], ones)
    assert both == 2 * record_bytes(tmp_path / "out") + train
    assert space.needed_bytes(plan, [], {"train": 0.5, "validation": 1.0}) == record_bytes(tmp_path / "out")


def test_too_little_space_is_noticed_before_an_image_is_read(tmp_path, free):
    free(1_200_000)
    message = (
        rf"^--output_dir={tmp_path}/out needs about \d\.\d MB, and 1\.2 MB are free on its disk; free some space, "
        r"store smaller images with --resize_smallest_side, or choose another folder$"
    )
    with pytest.raises(UserError, match=message):
        write(make_source(IMAGES), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_shrunk_need_what_a_sample_needs(tmp_path, free):
    whole = sum(len(data) for _, data in IMAGES)
    free(whole * 3 // 4)
    write(make_source(IMAGES), tmp_path / "out", resize_smallest_side=20)
    assert record_bytes(tmp_path / "out") < whole // 3
    free(whole // 50)
    with pytest.raises(UserError, match=r"are free on its disk; free some space, or choose another folder$"):
        write(make_source(IMAGES), tmp_path / "small", resize_smallest_side=20)


@pytest.mark.parametrize(("side", "words"), [(0, "needs about"), (90, "needs at most about")])
def test_a_large_need_is_said(tmp_path, monkeypatch, capsys, free, side, words):
    monkeypatch.setattr(space, "_WORTH_SAYING", 1)
    free(300_000_000_000)
    with console.speaking(True):
        write(make_source(IMAGES), tmp_path / "out", resize_smallest_side=side)
    # 120 images of about 5.8 kB, twice, since the record file is joined from two sections.
    size = 2 * sum(len(data) for _, data in IMAGES) / 1e6
    assert f"out {words} {size:.1f} MB; 300.0 GB are free on its disk\n" in capsys.readouterr().out


def test_a_small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        with pytest.raises(UserError, match=r"and 0\.2 MB are free on its disk"):
            write(make_source(IMAGES), disk / "out")
        assert list(disk.iterdir()) == []
        with pytest.raises(UserError, match="disk is a mount point, which cannot be replaced; name a folder inside it"):
            write(make_source(IMAGES), disk)
    finally:
        subprocess.run(["umount", disk], check=True)
