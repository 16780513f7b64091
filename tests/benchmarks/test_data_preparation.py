"""Tests the benchmark of data_prep: what both ways write, and that the processes of data_prep count as its own."""

import pytest
import tensorflow_datasets as tfds

from benchmarks import data_preparation
from benchmarks.harness import load, materials, sides
from data_prep.workers import Pool
from tests.helpers import worker_tasks


def stored(folder):
    """Returns {name: (encoded photo, label)} of the training split in a folder, and the number of its records."""
    (info,) = folder.rglob("dataset_info.json")
    builder = tfds.builder_from_directory(info.parent)
    records = list(tfds.as_numpy(builder.as_dataset("train", decoders={"image": tfds.decode.SkipDecoding()})))
    return {one["file_name"]: (one["image"], one["label"]) for one in records}, len(records)


def test_both_ways_write_the_same_photos(tmp_path):
    photos = [materials.draw_photo(index, divisor=10) for index in range(3)]
    source = materials.training_source(materials.pack(photos, tmp_path / "photos.tar"), copies=2)
    data_preparation.write_checked(source, tmp_path / "ours", num_workers=1)
    data_preparation.write_plainly(source, tmp_path / "peer")
    expected = {
        f"{copy}/{index:04}.jpg".encode(): (photo, index % 2) for copy in range(2) for index, photo in enumerate(photos)
    }
    assert stored(tmp_path / "ours") == (expected, 6)
    assert stored(tmp_path / "peer") == (expected, 6)


def make_pool():
    """Returns a function that keeps two workers of data_prep busy, and returns the CPU seconds that they used."""

    def burn():
        with Pool(worker_tasks.burn, num_workers=2) as pool:
            return sum(pool.run([0.3, 0.3], progress=lambda done: None))

    return {"burn": burn}


@pytest.mark.skipif(load.read().machine is None, reason="this system has no /proc/stat")
@pytest.mark.slow
@pytest.mark.multiprocess
def test_workers_of_data_prep_in_the_process_of_a_side_are_our_own():
    with sides.in_process(make_pool) as made:
        before = load.read()
        used = made["burn"]()
        after = load.read()
    assert used >= 0.6
    # They have ended, so that they count in the process that led them; ticks are counted for each process and mode.
    assert after.own - before.own >= used - 0.1
