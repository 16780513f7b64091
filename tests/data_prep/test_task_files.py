"""Tests that parts are handed through files: written by any process, and moved to their places by the leading one."""

import hashlib
import os
import pickle
import shutil
from pathlib import Path

import pytest

from data_prep import task_files
from data_prep.image_preparation import Preparation
from data_prep.parts import Part, write_part
from data_prep.pieces import FileReader, file_piece
from data_prep.task_files import Place, TaskFolder, do_task, take_left
from tests.helpers.photos import encode
from vgg_keras.utils.errors import UserError

NAMES = ["a.jpg", "b.jpg", "c.jpg"]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Two parts, of two photos and of one, whose paths are relative to the working folder of the leading process."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for seed, name in enumerate(NAMES):
        Path("photos", name).write_bytes(encode(seed=seed))
    return [make_part("first", NAMES[:2]), make_part("second", NAMES[2:])]


def make_part(name, photos, folder="data", version=""):
    digest = hashlib.sha256((name + version).encode()).hexdigest()
    pieces = [file_piece(Path("photos"), key, 0) for key in photos]
    Path(folder).mkdir(exist_ok=True)
    path = Path(folder, name)
    return Part(path, path.with_suffix(".json"), digest, pieces, FileReader(Path("photos")), Preparation(measure=True))


def place_of(part):
    return Place(part.path, part.result_path, part.digest)


def expected(parts):
    """Returns the files that `write_part` makes of the same parts elsewhere."""
    copies = [make_part(part.path.name, [piece.key for piece in part.pieces], "expected") for part in parts]
    return {copy.path.name: (write_part(copy), copy.path.read_bytes()) for copy in copies}


def test_parts_are_written_in_another_folder_and_moved_to_their_places(parts, tmp_path, monkeypatch):
    by_name = expected(parts)
    tasks = TaskFolder(Path("tasks"), parts)
    assert list(tasks.take_finished()) == []
    monkeypatch.chdir("/")  # where a worker of another machine may run
    do_task(tasks.paths[1])
    monkeypatch.chdir(tmp_path)
    assert list(Path("data").iterdir()) == []  # the worker has not written there
    assert list(tasks.take_finished()) == [(by_name["second"][0], 1)]
    assert tasks.num_waiting == 1
    do_task(tasks.paths[0])
    assert list(tasks.take_finished()) == [(by_name["first"][0], 2)]
    assert tasks.num_waiting == 0
    for part in parts:
        assert part.path.read_bytes() == by_name[part.path.name][1]
        assert part.result_path.read_text() == by_name[part.path.name][0].to_json()


def test_a_part_that_is_in_its_place_is_kept_and_a_damaged_one_is_written_again(parts):
    for part in parts:
        write_part(part)
    before = os.stat(parts[0].path).st_mtime_ns
    content = parts[1].path.read_bytes()
    parts[1].path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    tasks = TaskFolder(Path("tasks"), parts)
    for path in tasks.paths:
        do_task(path)
    assert sum(count for _, count in tasks.take_finished()) == 3
    assert os.stat(parts[0].path).st_mtime_ns == before
    assert parts[1].path.read_bytes() == content


def test_the_second_process_of_the_same_task_changes_nothing(parts):
    tasks = TaskFolder(Path("tasks"), parts[:1])
    do_task(tasks.paths[0])
    do_task(tasks.paths[0])
    (taken,) = tasks.take_finished()
    content = parts[0].path.read_bytes()
    do_task(tasks.paths[0])  # a process that was thought lost
    assert list(tasks.take_finished()) == []
    assert parts[0].path.read_bytes() == content
    assert taken[0].digest == parts[0].digest


def test_a_process_of_an_earlier_run_does_not_write_over_what_a_later_one_has_written(parts):
    earlier = TaskFolder(Path("tasks"), parts[:1])
    Path("photos", "a.jpg").write_bytes(encode(seed=9))  # replaced between the two runs
    later = TaskFolder(Path("tasks"), [make_part("first", NAMES[:2], version="2")])
    do_task(later.paths[0])
    list(later.take_finished())
    content = parts[0].path.read_bytes()
    do_task(earlier.paths[0])
    assert list(later.take_finished()) == []
    assert parts[0].path.read_bytes() == content
    with pytest.raises(UserError, match="was changed after the files had been listed"):
        list(earlier.take_finished())


def test_errors_arrive_as_they_are_with_their_traceback(parts):
    tasks = TaskFolder(Path("tasks"), parts[:1])
    Path("photos", "a.jpg").write_bytes(b"other")
    do_task(tasks.paths[0])
    with pytest.raises(UserError, match=r"photos/a\.jpg was changed after the files had been listed") as caught:
        list(tasks.take_finished())
    assert "in write_part" in str(caught.value.__cause__)
    assert list(Path("data").iterdir()) == []


def test_a_worker_of_other_versions_writes_nothing(parts, monkeypatch):
    tasks = TaskFolder(Path("tasks"), parts[:1])
    monkeypatch.setattr(task_files, "_VERSIONS", {"vgg_keras": "9.8", "Pillow": "7.6"})
    do_task(tasks.paths[0])
    with pytest.raises(
        UserError, match=r"has vgg_keras 9\.8 and Pillow 7\.6, and the verb vgg_keras \d.*install the same"
    ):
        list(tasks.take_finished())


def test_a_worker_that_does_not_see_the_folder_says_so_and_makes_none(tmp_path):
    missing = tmp_path / "elsewhere" / "tasks"
    with pytest.raises(UserError, match=r"elsewhere/tasks is not there on .*every worker must see --output_dir"):
        do_task(str(missing / "x.task"))
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_gets_lost_on_its_way_is_an_error(parts):
    tasks = TaskFolder(Path("tasks"), parts[:1])
    do_task(tasks.paths[0])
    (records,) = tasks.folder.glob("*/records")
    records.write_bytes(b"cut")
    with pytest.raises(UserError, match="data/first is not as a worker wrote it"):
        list(tasks.take_finished())


def test_what_workers_have_finished_without_the_leading_process_is_taken_if_it_belongs_there(parts):
    by_name = expected(parts)
    tasks = TaskFolder(Path("tasks"), [*parts, make_part("other", NAMES[:1])])
    for path in tasks.paths:
        do_task(path)
    (unfinished,) = tasks.folder.glob(f"{parts[1].digest}-*")
    (unfinished / "result.json").write_text("{")  # torn
    take_left(Path("tasks"), map(place_of, parts))
    assert sorted(path.name for path in Path("data").iterdir()) == ["first", "first.json"]
    assert parts[0].path.read_bytes() == by_name["first"][1]
    assert not Path("tasks").exists()
    with pytest.raises(UserError, match="is not there on"):
        do_task(tasks.paths[1])  # a worker that goes on all the same
    assert not Path("tasks").exists()


def test_taking_what_is_left_of_nothing(parts):
    take_left(Path("tasks"), map(place_of, parts))
    write_part(parts[0])
    before = os.stat(parts[0].path).st_mtime_ns
    tasks = TaskFolder(Path("tasks"), parts[:1])
    shutil.copytree("data", tasks.folder / f"{parts[0].digest}-0")
    take_left(Path("tasks"), map(place_of, parts))
    assert os.stat(parts[0].path).st_mtime_ns == before


def test_paths_are_pickled_as_absolute_ones_and_others_as_they_are(parts, tmp_path):
    tasks = TaskFolder(Path("tasks"), parts[:1])
    with open(tasks.paths[0], "rb") as file:
        pickle.load(file)
        part = pickle.load(file)
    assert part.path == tmp_path / "data" / "first"
    assert part.read == FileReader(tmp_path / "photos")
    assert list(part.pieces) == list(parts[0].pieces)
