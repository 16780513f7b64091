"""Tests that the workers of a Beam runner write the same bytes as processes of this machine, and what ends them."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from data_prep import beam_job, beam_pool
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.image_folder import ImageFolderOptions
from data_prep.image_folder import main as image_folder
from data_prep.task_files import do_task
from tests.helpers.beam import DIRECT_RUNNER, needs_beam
from tests.helpers.paths import folder_content
from tests.helpers.photos import encode, make_source
from tests.helpers.processes import descendants, start_verb, wait_for_end
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError

# 260 photos of two classes; the training split becomes four sections of one record file.
_PHOTOS = 130


class FakeJob:
    """Does tasks in this process, one at each look, in a random order; no Beam is needed."""

    def __init__(self, paths, num_done):
        self._paths = random.Random(1).sample(paths, num_done)

    def is_running(self):
        if self._paths:
            do_task(self._paths.pop())
        return bool(self._paths)

    def wait(self):
        """Does nothing."""

    def __exit__(self, *_):
        self._paths = []


@pytest.fixture
def fake_runner(monkeypatch):
    """Lets a pool do its tasks in this process; returns the jobs that it has started."""
    jobs = []

    def write_parts(runner, options, paths):
        jobs.append((runner, options, len(paths)))
        return FakeJob(paths, len(paths) - jobs_lose.pop() if jobs_lose else len(paths))

    jobs_lose = []
    monkeypatch.setattr(beam_job, "write_parts", write_parts)
    monkeypatch.setattr(beam_pool, "_POLL", 0)
    return jobs, jobs_lose


def source():
    images = [(f"{seed}.jpg", encode((60, 40), seed=seed)) for seed in range(160)]
    images[7] = ("7.jpg", b"text")
    return make_source(images)


def write(output_dir, **flags):
    options = PrepareOptions(output_dir=str(output_dir), skip_bad_images=True, resize_smallest_side=20, **flags)
    return write_dataset(source(), options)


def test_a_runner_changes_nothing(tmp_path, fake_runner, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths of flags may be relative
    expected = write("local", num_workers=1)
    got = write("beam", beam_runner="Some", beam_options="a=1")
    assert fake_runner[0] == [("Some", "a=1", 3), ("Some", "a=1", 1)]  # the training and the validation split
    assert folder_content(Path("beam")) == folder_content(Path("local"))
    assert folder_content(Path("beam"))["bad_images.txt"].startswith(b"train\t7.jpg\tnot an image")
    for split, summary in expected.splits.items():
        assert (summary.images_by_class, summary.changes) == (
            got.splits[split].images_by_class,
            got.splits[split].changes,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beam", "local"]


def test_parts_that_never_appear_are_an_error_and_the_others_are_kept_for_any_pool(tmp_path, fake_runner, monkeypatch):
    monkeypatch.setattr(beam_pool, "_SEEN_WITHIN", 0)
    _, lose = fake_runner
    lose.append(2)
    with pytest.raises(
        UserError, match=r"the Beam pipeline has ended, but 2 parts cannot be seen in .*out\.incomplete"
    ):
        write(tmp_path / "out", beam_runner="Some")
    assert not (tmp_path / "out.incomplete" / "tasks").exists()
    assert len(list((tmp_path / "out.incomplete" / "parts").glob("*.json"))) == 1
    assert write(tmp_path / "out", num_workers=1).splits["train"].num_kept in (53, 54)
    write(tmp_path / "other" / "out", num_workers=1)
    assert folder_content(tmp_path / "out") == folder_content(tmp_path / "other" / "out")


def test_what_local_processes_have_finished_is_kept_by_a_runner(tmp_path, fake_runner, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.builder._check_images", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(tmp_path / "out", num_workers=1)
    before = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "out.incomplete" / "parts").glob("*.json")}
    assert len(before) == 4  # three of the training split, and one of the validation split
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.parts.prepare", None)  # nothing is decoded again
        summary = write(tmp_path / "out", beam_runner="Some")
    assert summary.splits["train"].num_kept == 159  # of 160 images, one is bad


def make_photos(folder):
    for class_name in ("a", "b"):
        (folder / class_name).mkdir(parents=True)
        for seed in range(_PHOTOS):
            content = encode((120, 90), seed=seed) if seed else b"text"
            (folder / class_name / f"{class_name}{seed}.jpg").write_bytes(content)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """A folder with photos, one of each class bad, and the data set that one process makes of them."""
    folder = tmp_path_factory.mktemp("expected")
    make_photos(folder / "photos")
    flags = [f"--source_dir={folder / 'photos'}", f"--output_dir={folder / 'out'}", "--skip_bad_images"]
    call_verb(image_folder, [*flags, "--num_workers=1"], ImageFolderOptions)
    return folder


def start(folder, *more):
    arguments = ("--source_dir=photos", "--output_dir=out", "--skip_bad_images", *more)
    return start_verb("data_prep.image_folder", *arguments, cwd=folder)


@pytest.fixture
def work(expected, tmp_path):
    """A working folder with the photos."""
    os.symlink(expected / "photos", tmp_path / "photos")
    return tmp_path


def wait_for_parts(process, folder):
    while not list((folder / "out.incomplete").glob("parts/*.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


@needs_beam
@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("then", [(), DIRECT_RUNNER])
def test_killed_in_the_middle_it_goes_on_with_any_pool_and_ends_with_the_same_bytes(expected, work, then):
    process = start(work, *DIRECT_RUNNER)
    wait_for_parts(process, work)
    started = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for one in started:
        wait_for_end(one)
    assert not (work / "out").exists()
    process = start(work, *then)
    stdout, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert "are kept from the run that was ended; going on" in stdout
    assert "train: a/a0.jpg cannot be used: not an image" in stderr
    assert folder_content(work / "out") == folder_content(expected / "out")
    assert sorted(path.name for path in work.iterdir()) == ["out", "photos"]


@needs_beam
@pytest.mark.slow
@pytest.mark.multiprocess
def test_an_interrupt_from_the_terminal_is_one_line_and_keeps_what_is_finished(work):
    process = start(work, *DIRECT_RUNNER)
    wait_for_parts(process, work)
    started = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 75
    assert "images are finished and kept; give the same command to go on from there" in stderr.splitlines()[-2]
    assert stderr.splitlines()[-1] == "stopped by SIGINT; start the same command again"
    assert "Traceback" not in stderr
    for one in started:
        wait_for_end(one)


@needs_beam
@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_worker_that_the_system_kills_is_one_line(work):
    process = start(work, *DIRECT_RUNNER)
    while not (workers := [one for one in descendants(process.pid) if is_beam_worker(one)]):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    started = descendants(process.pid)
    os.kill(workers[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 1
    assert stderr.splitlines()[-1].startswith("error: a worker process was killed, most likely by the system for want")
    assert "Traceback" not in stderr
    for one in started:
        wait_for_end(one)


def is_beam_worker(process_id):
    try:
        words = Path(f"/proc/{process_id}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"apache_beam.runners.worker.sdk_worker_main" in words
