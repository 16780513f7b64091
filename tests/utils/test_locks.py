"""Tests that one process at a time writes a folder, with real processes."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.utils import locks
from vgg_keras.utils.errors import UserError

_HOLD = """
import sys, time
from pathlib import Path
from vgg_keras.utils import locks
with locks.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the folder `run`."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_by_a_line_that_names_the_first(holder, tmp_path):
    with pytest.raises(UserError) as refused, locks.locked(tmp_path / "run"):
        pass
    message = str(refused.value)
    assert message.startswith(
        f"{tmp_path / 'run'} is in use by process {holder.pid} on {socket.gethostname()}, since 20"
    )
    assert message.endswith(f"(-c {tmp_path / 'run'}); wait until it has ended, or choose another --output_dir")
    assert (tmp_path / "run" / ".lock").exists()


def test_the_lock_of_a_killed_process_is_free(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == holder.pid
    with locks.locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path):
    with locks.locked(tmp_path / "a" / "run"):
        assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == [".lock"]
    assert not (tmp_path / "a" / "run").exists()
    with locks.locked(tmp_path / "a" / "run"):
        (tmp_path / "a" / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["file"]


def _lock_of_another_host(folder):
    folder.mkdir()
    content = {"host": "elsewhere", "pid": 7, "since": "2026-01-31 12:00:00 UTC", "command": "vgg-train"}
    (folder / ".lock").write_text(json.dumps(content))
    return folder / ".lock"


def test_a_lock_of_another_machine_counts_while_its_file_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_SILENCE", 2.0)
    path = _lock_of_another_host(tmp_path / "run")
    ended = threading.Event()

    def touch():
        while not ended.wait(0.1):
            os.utime(path, ns=(time.time_ns(), time.time_ns()))

    touching = threading.Thread(target=touch)
    touching.start()
    try:
        with pytest.raises(UserError, match="in use by process 7 on elsewhere"), locks.locked(tmp_path / "run"):
            pass
    finally:
        ended.set()
        touching.join()
    # Nobody touches it any more.
    with locks.locked(tmp_path / "run"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_SILENCE", 1.0)
    monkeypatch.setattr(locks, "_BEAT", 0.1)
    refused = pytest.raises(UserError, match=f"in use by process {os.getpid()} on")
    with locks.locked(tmp_path / "run"), refused, locks.locked(tmp_path / "run"):
        pass
    with locks.locked(tmp_path / "run"):
        pass


def test_an_empty_lock_of_nobody_is_taken(tmp_path):
    (tmp_path / ".lock").touch()  # of a process that was killed before it wrote its name
    with locks.locked(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["notes of a user", "[]", '{"host": 1}', "[" * 50_000])
def test_a_file_that_no_lock_wrote_is_left_as_it_is(content, tmp_path):
    (tmp_path / ".lock").write_text(content)
    message = (
        f"^{tmp_path}/.lock holds something that no lock of this package wrote, and would be overwritten: move it "
        "away, or choose another --output_dir$"
    )
    with pytest.raises(UserError, match=message), locks.locked(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == content


@pytest.mark.parametrize("holds_a_holder", [False, True])
def test_a_hard_link_is_left_as_it_is(holds_a_holder, tmp_path):
    content = json.dumps(dataclasses.asdict(locks.Holder.this_process())) if holds_a_holder else ""
    (tmp_path / "run").mkdir()
    (tmp_path / "target").write_text(content)
    (tmp_path / "run" / ".lock").hardlink_to(tmp_path / "target")
    message = r"run/\.lock is a hard link to a file that has another name too, and would be overwritten: move it away, "
    with pytest.raises(UserError, match=message), locks.locked(tmp_path / "run"):
        pass
    assert (tmp_path / "target").read_text() == content


def test_a_full_disk_leaves_neither_a_lock_nor_a_folder(tmp_path, monkeypatch):
    def full(descriptor, content, offset):
        raise OSError(28, "No space left on device")

    for pwrite in (full, lambda descriptor, content, offset: len(content) // 2):
        monkeypatch.setattr(locks.os, "pwrite", pwrite)
        with pytest.raises(OSError, match=r"No space left on device: '.*run/\.lock'"), locks.locked(tmp_path / "run"):
            pass
        assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_with_a_long_command_line_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.sys, "argv", ["vgg-predict", *["photo.jpg"] * 20_000])
    with locks.locked(tmp_path):
        content = (tmp_path / ".lock").read_text()
    (tmp_path / ".lock").write_text(content)
    with locks.locked(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize(
    ("make", "kind"),
    [(os.mkfifo, "a pipe"), (lambda path: path.symlink_to(path.parent / "target"), "a link"), (os.mkdir, "a folder")],
)
def test_what_stands_in_the_place_of_a_lock_is_named(make, kind, tmp_path):
    (tmp_path / "target").touch()
    make(tmp_path / ".lock")
    message = f"^{tmp_path}/.lock is {kind}, where the file of a lock belongs: remove it, and run again$"
    with pytest.raises(UserError, match=message), locks.locked(tmp_path):
        pass
    assert (tmp_path / ".lock").is_symlink() or not (tmp_path / ".lock").is_file()
    assert (tmp_path / "target").read_bytes() == b""
