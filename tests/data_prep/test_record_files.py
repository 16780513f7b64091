"""Tests that worker processes write whole record files, and what is left of them when they are killed."""

import os
import subprocess
import sys
import textwrap

import pytest
import tensorflow_datasets as tfds

from data_prep import records
from data_prep.builder import PrepareOptions, write_dataset
from tests.helpers.paths import ROOT, folder_content
from tests.helpers.photos import encode, make_source
from tests.helpers.processes import children, wait_for_end, wait_until

pytestmark = pytest.mark.multiprocess

# Prepares photos as four record files, with the folder of the data set and the number of workers as arguments.
_PREPARE = """
    import sys
    from data_prep import image_folder, records

    if __name__ == "__main__":
        records.shard_utils.ShardConfig.get_number_shards = lambda _, size, count, *__: min(4, count)
        output_dir, workers = sys.argv[1:]
        image_folder.main(
            image_folder.ImageFolderOptions(
                source_dir="photos", output_dir=output_dir, num_workers=int(workers), as_is=True
            )
        )
"""


def test_workers_write_whole_record_files_with_the_bounds_of_tfds(tmp_path, monkeypatch):
    monkeypatch.setattr(records.shard_utils.ShardConfig, "get_number_shards", lambda _, size, count, *__: min(3, count))
    images = [(f"{seed}.jpg", encode(seed=seed)) for seed in range(200)]
    images[7] = ("7.jpg", b"text")
    for workers in (1, 3):
        output_dir = str(tmp_path / str(workers))
        options = PrepareOptions(output_dir=output_dir, num_workers=workers, skip_bad_images=True)
        write_dataset(make_source(images), options)
    assert folder_content(tmp_path / "1") == folder_content(tmp_path / "3")
    # A bad image is missing from its file and moves no other: 200 images in three files are 67, 66 and 67.
    lengths = tfds.builder_from_directory(tmp_path / "3").info.splits["train"].shard_lengths
    assert sorted(full - length for full, length in zip((67, 66, 67), lengths, strict=True)) == [0, 0, 1]


def start(folder, output_dir, workers):
    """Starts the preparation of the photos in a folder."""
    (folder / "prepare.py").write_text(textwrap.dedent(_PREPARE))
    command = [sys.executable, "prepare.py", output_dir, str(workers)]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_killed_while_workers_write_record_files(tmp_path):
    for number in range(240):
        photo = tmp_path / "photos" / ("train", "validation")[number % 6 == 0] / "a" / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(encode((320, 240), seed=number))
    assert start(tmp_path, "expected/out", 1).wait(timeout=300) == 0
    expected = folder_content(tmp_path / "expected" / "out")
    assert len([name for name in expected if "-train.tfrecord-" in name]) == 4

    process = start(tmp_path, "out", 2)
    parts, data = (tmp_path / "out.incomplete" / name for name in ("parts", "data"))
    # The other worker is in the middle of its first file then, and this one at the start of its next.
    wait_until([process], lambda: bool(list(parts.glob("[!.]*.json"))))
    workers = children(process.pid)
    process.kill()
    process.wait(timeout=60)
    for worker in workers:
        wait_for_end(worker)
    assert 0 < len(list(parts.glob("[!.]*.json"))) < 8
    # Every file under a final name is whole, whether or not its result was written.
    for path in data.glob("[!.]*"):
        assert path.read_bytes() == expected[path.name]

    assert start(tmp_path, "out", 3).wait(timeout=300) == 0
    assert folder_content(tmp_path / "out") == expected
