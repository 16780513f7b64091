"""Tests that a run that was ended goes on from its finished parts, and gives the bytes of one that was not."""

import os
import random
import shutil
import signal
import time

import pytest

from data_prep import builder, flowers, image_folder, parts, pools, unfinished
from data_prep.flowers import FlowersOptions
from data_prep.image_folder import ImageFolderOptions
from tests.helpers.paths import folder_content
from tests.helpers.photos import encode, make_source, make_tar, read, write
from tests.helpers.processes import children, run_killed_at, start_verb, wait_for_end, worker_processes
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError

# 260 images of training become five parts, the one of validation a sixth.
IMAGES = [(f"{seed}.jpg", encode((24, 20), seed=seed)) for seed in range(260)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Returns the files of a run that was not ended."""
    folder = tmp_path_factory.mktemp("expected") / "out"
    write(make_source(IMAGES), folder)
    return folder_content(folder)


def interrupted_after(count, monkeypatch, error=KeyboardInterrupt):
    """Raises an error in the middle of a part, when so many are finished."""
    calls = []

    def write_part(part, report):
        calls.append(part)
        if len(calls) > count:
            report(10)
            raise error
        return parts.write_part(part, report)

    monkeypatch.setattr(pools, "write_part", write_part)


def run(folder, images=IMAGES, **options):
    """Writes the images; returns what was prepared again, how often, and what was said."""
    with console.speaking(True):
        write(make_source(images), folder, **options)


@pytest.fixture
def prepared(monkeypatch):
    """Returns a list that receives the bytes of each image that is prepared."""
    seen, prepare = [], parts.prepare
    monkeypatch.setattr(parts, "prepare", lambda image, preparation: seen.append(image) or prepare(image, preparation))
    return seen


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch, capsys, expected, prepared):
    with monkeypatch.context() as patch:
        interrupted_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out")
    message = "out.incomplete: 156 of 261 images are finished and kept; give the same command to go on from there, or "
    assert f"{message}remove that folder to start over\n" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert len(prepared) == 156  # three fifths of 260
    run(tmp_path / "out")
    message = "out.incomplete: 3 of 6 parts, with 156 of 261 images, are kept from the run that was ended; going on\n"
    assert message in capsys.readouterr().out
    assert len(prepared) == 261
    assert folder_content(tmp_path / "out") == expected
    assert not (tmp_path / "out.incomplete").exists()


def test_nothing_finished_leaves_nothing(tmp_path, monkeypatch, capsys):
    interrupted_after(0, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert (
        "out.incomplete: removed, since nothing was finished; the same command starts over" in capsys.readouterr().err
    )


def test_bad_images_of_the_run_that_was_ended_are_no_images_that_are_kept(tmp_path, monkeypatch):
    source = make_source([("0.jpg", b"no image"), *IMAGES[1:]])
    options = builder.PrepareOptions(output_dir=str(tmp_path / "out"), num_workers=1, skip_bad_images=True)
    with monkeypatch.context() as patch:
        interrupted_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            builder.write_dataset(source, options)
    split = builder.write_dataset(source, options).splits["train"]
    assert (split.num_kept, split.num_images) == (155, 259)  # three fifths of 260, and all, without the bad one


def interrupted(folder, monkeypatch, count=3, **options):
    with monkeypatch.context() as patch:
        interrupted_after(count, patch)
        with pytest.raises(KeyboardInterrupt):
            run(folder, **options)


def test_other_flags_do_not_remove_what_is_finished(tmp_path, monkeypatch, capsys, expected, prepared):
    interrupted(tmp_path / "out", monkeypatch, resize_smallest_side=10)
    before = folder_content(tmp_path / "out.incomplete")
    with pytest.raises(UserError) as caught:
        run(tmp_path / "out", skip_bad_images=True)
    folder = tmp_path / "out.incomplete"
    assert str(caught.value) == (
        f"{folder} holds finished parts of a data set that was begun with other flags (--resize_smallest_side=10 then, "
        "--resize_smallest_side=0 now): give those flags to go on with it, or remove that folder to start over, or "
        "choose another --output_dir"
    )
    assert folder_content(folder) == before
    prepared.clear()
    run(tmp_path / "out", resize_smallest_side=10)
    assert len(prepared) == 105
    # Another folder, or none, starts over.
    run(tmp_path / "other")
    assert folder_content(tmp_path / "other") == expected


def test_other_flags_start_over_where_nothing_is_finished(tmp_path, monkeypatch, expected):
    interrupted(tmp_path / "out", monkeypatch, resize_smallest_side=10)
    for result in (tmp_path / "out.incomplete" / "parts").glob("*.json"):
        result.unlink()
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected


def test_another_source_does_not_remove_what_is_finished(tmp_path, monkeypatch, prepared):
    make_folder(tmp_path / "photos")
    with monkeypatch.context() as patch:
        interrupted_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path)
    (tmp_path / "other" / "a").mkdir(parents=True)
    for name in ("x", "y"):
        (tmp_path / "other" / "a" / f"{name}.jpg").write_bytes(encode())
    message = rf"other flags \(--source_dir={tmp_path}/photos then, --source_dir={tmp_path}/other now\): give those"
    with pytest.raises(UserError, match=message):
        write_folder(tmp_path, source_dir=str(tmp_path / "other"), as_is=True)
    # A folder that was moved is the same source.
    (tmp_path / "photos").rename(tmp_path / "moved")
    prepared.clear()
    write_folder(tmp_path, source_dir=str(tmp_path / "moved"))
    assert 0 < len(prepared) < 200


def test_another_number_of_processes_goes_on(tmp_path, monkeypatch, expected, prepared):
    interrupted(tmp_path / "out", monkeypatch)
    prepared.clear()
    builder.write_dataset(make_source(IMAGES), builder.PrepareOptions(output_dir=str(tmp_path / "out"), num_workers=0))
    assert len(prepared) < 261  # those in other processes are not seen here
    assert folder_content(tmp_path / "out") == expected


def test_files_of_another_data_set_do_not_get_into_the_result(tmp_path, monkeypatch, capsys, expected):
    interrupted(tmp_path / "out", monkeypatch)
    (tmp_path / "out.incomplete" / "data" / "bad_images.txt").touch()  # of a run that was killed at its very end
    (tmp_path / "out.incomplete" / "data" / ".test-train.incomplete.tfrecord-00000-of-00001").touch()
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected


def test_other_images_start_over(tmp_path, monkeypatch, capsys):
    interrupted(tmp_path / "out", monkeypatch)
    others = [(f"other_{key}", data) for key, data in IMAGES]
    run(tmp_path / "out", others)
    assert "removed, since nothing of it fits: the images of train have changed\n" in capsys.readouterr().out
    assert read(tmp_path / "out", "train").keys() == dict(others).keys()


@pytest.mark.parametrize("content", [None, "", "[1]", "{", '{"holidays": ["Rome"]}'])
def test_a_folder_that_somebody_else_made_is_left_as_it_is(tmp_path, content):
    folder = tmp_path / "out.incomplete"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "thesis.txt").touch()
    if content is not None:
        (folder / "plan.json").write_text(content)
    before = folder_content(tmp_path)
    message = (
        f"^{folder} was not made by this package \\(it holds no plan.json that it wrote\\), and is needed as the "
        f"working folder of --output_dir={tmp_path}/out: move it away, or choose another --output_dir$"
    )
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out")
    with pytest.raises(UserError, match=message):  # before the images are listed
        builder.PrepareOptions(output_dir=str(tmp_path / "out")).check_outputs()
    assert folder_content(tmp_path) == before


@pytest.mark.parametrize("name", ["", "/data", "/parts"])
def test_a_link_is_not_followed(tmp_path, monkeypatch, name):
    folder = tmp_path / f"out.incomplete{name}"
    if name:
        interrupted(tmp_path / "out", monkeypatch)
        shutil.rmtree(folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    folder.symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=r"incomplete (is a link|holds \w+, which is no folder), and is needed as"):
        run(tmp_path / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert folder.is_symlink()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out.incomplete").write_text("mine")
    with pytest.raises(UserError, match=r"out\.incomplete is a file, and is needed as the working folder of"):
        run(tmp_path / "out")
    assert (tmp_path / "out.incomplete").read_text() == "mine"


def test_a_source_in_the_working_folder_is_refused(tmp_path, monkeypatch):
    photos = make_folder(tmp_path / "out.incomplete" / "photos", count=4)
    (tmp_path / "link").symlink_to(photos)
    for source_dir in (photos, photos.parent, tmp_path / "link"):
        message = f"^--source_dir={source_dir} lies in {tmp_path}/out.incomplete, the working folder of --output_dir="
        with pytest.raises(UserError, match=message):
            write_folder(tmp_path, source_dir=str(source_dir), as_is=True)
    make_tar(photos.parent / "f.tgz", [("a.jpg", encode())], "gz")
    with pytest.raises(UserError, match=r"^--archive=.*f\.tgz lies in .*/out\.incomplete, the working folder of"):
        FlowersOptions(output_dir=str(tmp_path / "out"), archive=str(photos.parent / "f.tgz")).check_outputs()
    assert len(list(photos.rglob("*.jpg"))) == 4


def test_files_that_somebody_put_beside_ours_stay(tmp_path, monkeypatch, expected):
    interrupted(tmp_path / "out", monkeypatch)
    (tmp_path / "out.incomplete" / "notes.txt").write_text("mine")
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected
    assert [path.name for path in (tmp_path / "out.incomplete").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("names", [[], [".lock"], [".lock", ".plan.incomplete.json"]])
def test_what_a_process_left_that_was_killed_at_its_begin(tmp_path, expected, names):
    (tmp_path / "out.incomplete").mkdir()
    for name in names:
        (tmp_path / "out.incomplete" / name).touch()
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected
    assert not (tmp_path / "out.incomplete").exists()


def test_killed_while_it_is_cleared_it_still_knows_the_folder(tmp_path, monkeypatch, expected):
    interrupted(tmp_path / "out", monkeypatch, resize_smallest_side=10)
    for path in (tmp_path / "out.incomplete" / "parts").iterdir():
        path.unlink()

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            unfinished.clear(tmp_path / "out.incomplete")
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".part-01", flip_a_bit),
        (".part-01", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        (".part-01", os.remove),
        (".part-01.json", lambda path: path.write_text(path.read_text()[:-5])),
        (".part-01.json", lambda path: path.write_text("{}")),
        (".part-01.json", os.remove),
    ],
)
def test_a_damaged_part_is_written_again(tmp_path, monkeypatch, expected, prepared, suffix, damage):
    interrupted(tmp_path / "out", monkeypatch)
    (path,) = (tmp_path / "out.incomplete" / "parts").glob(f"*{suffix}")
    damage(path)
    prepared.clear()
    run(tmp_path / "out")
    assert len(prepared) == 261 - 2 * 52
    assert folder_content(tmp_path / "out") == expected


def make_folder(folder, size=(24, 20), count=260):
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(size, seed=number))
    return folder


def write_folder(tmp_path, name="out", **options):
    options = {"output_dir": str(tmp_path / name), "source_dir": str(tmp_path / "photos"), **options}
    image_folder.main(ImageFolderOptions(num_workers=1, **options))


def test_a_repaired_photo_costs_its_own_part(tmp_path, prepared):
    photo = make_folder(tmp_path / "photos") / "a" / "100.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(whole[:-50])
    with pytest.raises(UserError, match="1 image cannot be used"):
        write_folder(tmp_path)
    assert len(prepared) == 260
    photo.write_bytes(whole)
    write_folder(tmp_path)
    assert 260 + 50 <= len(prepared) <= 260 + 99  # a part has at least 50 images
    write_folder(tmp_path, "expected/out")
    assert folder_content(tmp_path / "out") == folder_content(tmp_path / "expected" / "out")


def test_a_photo_that_changes_meanwhile_is_named(tmp_path, monkeypatch):
    photo = make_folder(tmp_path / "photos") / "b" / "7.jpg"
    options = ImageFolderOptions(output_dir=str(tmp_path / "out"), source_dir=str(tmp_path / "photos"), num_workers=1)
    source = image_folder.image_folder(tmp_path / "photos", "", 0.1, "x")
    photo.write_bytes(encode((24, 20), seed=8))
    with pytest.raises(UserError, match=r"photos/b/7\.jpg was changed after the files had been listed; run the same"):
        builder.write_dataset(source, options)


def test_a_compressed_archive_is_unpacked_once(tmp_path, monkeypatch, prepared):
    files = [(f"f/{kind}/{number}.jpg", encode(seed=number)) for kind in "ab" for number in range(100)]
    make_tar(tmp_path / "f.tgz", files, "gz")
    arguments = {"archive": str(tmp_path / "f.tgz"), "num_workers": 1}
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            flowers.main(FlowersOptions(output_dir=str(tmp_path / "out"), **arguments))
    (unpacked,) = (tmp_path / "out.incomplete").glob("*-f.tgz.unpacked")
    before = unpacked.stat().st_mtime_ns
    seen = []
    monkeypatch.setattr(unfinished, "clear", lambda folder: seen.append(unpacked.stat().st_mtime_ns))
    flowers.main(FlowersOptions(output_dir=str(tmp_path / "out"), **arguments))
    assert seen == [before]
    assert len(prepared) == 200
    images = read(tmp_path / "out", "train") | read(tmp_path / "out", "validation")
    assert images == {name[2:]: (data, "ab".index(name[2])) for name, data in files}


def test_a_full_disk_in_the_middle_keeps_what_is_finished(tmp_path, monkeypatch, capsys, expected):
    with monkeypatch.context() as patch:
        interrupted_after(2, patch, OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space left"):
            run(tmp_path / "out")
    assert "104 of 261 images are finished and kept" in capsys.readouterr().err
    run(tmp_path / "out")
    assert folder_content(tmp_path / "out") == expected


# At the last of these moments the data set is complete, and the only record file that was not joined is part of it.
@pytest.mark.parametrize(
    ("function", "kept"), [("join_files", 260), ("_write_side_files", 260), ("sync_tree", 260), ("sync", 234)]
)
def test_killed_when_all_parts_are_finished(tmp_path, capsys, function, kept):
    make_folder(tmp_path / "photos")
    arguments = ("--source_dir=photos", "--output_dir=out", "--num_workers=1")
    run_killed_at(f"data_prep.builder.{function}", "data_prep.image_folder", *arguments, cwd=tmp_path)
    assert (tmp_path / "out.incomplete").exists()
    assert (tmp_path / "out").exists() == (function == "sync")
    if (tmp_path / "out").exists():
        shutil.copytree(tmp_path / "out.incomplete", tmp_path / "remains")
        write_folder(tmp_path)
        assert not (tmp_path / "out.incomplete").exists()
        (tmp_path / "remains").rename(tmp_path / "out.incomplete")
        (tmp_path / "out").rename(tmp_path / "first")
    with console.speaking(True):
        write_folder(tmp_path)
    assert f"with {kept} of 260 images, are kept from the run that was ended" in capsys.readouterr().out
    write_folder(tmp_path, "expected/out")
    assert folder_content(tmp_path / "out") == folder_content(tmp_path / "expected" / "out")
    assert not (tmp_path / "out.incomplete").exists()


@pytest.mark.multiprocess
def test_a_worker_that_the_system_kills_is_one_line(tmp_path):
    make_folder(tmp_path / "photos")
    arguments = ("--source_dir=photos", "--output_dir=out", "--num_workers=2")
    process = start_verb("data_prep.image_folder", *arguments, cwd=tmp_path)
    while not (workers := worker_processes(process.pid)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    os.kill(workers[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.splitlines()[-1].startswith("error: a worker process was killed, most likely by the system for want")
    assert "Traceback" not in stderr
    for worker in workers:
        wait_for_end(worker)


@pytest.mark.multiprocess
def test_an_interrupt_from_the_terminal_keeps_what_is_finished(tmp_path):
    make_folder(tmp_path / "photos", (300, 240))  # so that it takes seconds
    arguments = ("--source_dir=photos", "--output_dir=out", "--num_workers=2")
    process = start_verb("data_prep.image_folder", *arguments, cwd=tmp_path)
    while not list((tmp_path / "out.incomplete" / "parts").glob("[!.]*.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.001)
    workers = worker_processes(process.pid)
    for one in (*workers, process.pid):  # as a terminal does
        os.kill(one, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "images are finished and kept; give the same command to go on from there" in stderr.splitlines()[-2]
    assert stderr.splitlines()[-1] == "stopped by SIGINT; start the same command again"
    assert "Traceback" not in stderr
    for worker in workers:
        wait_for_end(worker)


@pytest.mark.multiprocess
def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path):
    make_folder(tmp_path / "photos", (160, 120))
    write_folder(tmp_path, "expected/out")
    random_points = random.Random(3)
    arguments = ("--source_dir=photos", "--output_dir=out", "--num_workers=3")
    results = tmp_path / "out.incomplete" / "parts"
    finished = 0
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = start_verb("data_prep.image_folder", *arguments, cwd=tmp_path)
        # At least one more part, and a random moment after it.
        while len(list(results.glob("*.json"))) <= finished and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random_points.random() / 100)
        workers = children(process.pid)
        process.send_signal(how)
        process.communicate(timeout=60)
        for worker in workers:
            wait_for_end(worker)
        finished = len(list(results.glob("*.json")))
        if (tmp_path / "out").exists():
            break
    if not (tmp_path / "out").exists():
        process = start_verb("data_prep.image_folder", *arguments, cwd=tmp_path)
        stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        assert "are kept from the run that was ended; going on" in stdout
    assert folder_content(tmp_path / "out") == folder_content(tmp_path / "expected" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out", "photos"]
