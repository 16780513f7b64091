"""Tests processes that end with the one that started them, in real processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.utils import child_processes

# A module that writes its process number, its variable and its folder, and then waits; SIGTERM ends it after a moment.
MODULE = """
import os, pathlib, signal, sys, time
def stop(number, frame):
    time.sleep(float(sys.argv[2]))
    pathlib.Path("ended").write_text("by SIGTERM")
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("begun.part").write_text(f"{os.getpid()} {os.environ.get('TF_CONFIG')}")
os.rename("begun.part", "begun")
if sys.argv[1] == "wait":
    time.sleep(60)
sys.exit(int(sys.argv[1]))
"""
PARENT = """
import sys
from pathlib import Path
from vgg_keras.utils import child_processes, stopping
if __name__ == "__main__":
    with stopping.raising():
        child_processes.run_module("waiting", ["wait", sys.argv[1]], Path("."))
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "waiting.py").write_text(MODULE)
    (tmp_path / "parent.py").write_text(PARENT)
    monkeypatch.syspath_prepend(str(tmp_path))


def begun(folder):
    """Waits for the child; returns its process number and its variable."""
    for _ in range(600):
        if (folder / "begun").exists():
            number, variable = (folder / "begun").read_text().split()
            return int(number), variable
        time.sleep(0.1)
    raise AssertionError("the child has not begun")


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(number):
    for _ in range(100):
        if not is_alive(number):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {number} is alive")


def start_parent(folder, seconds):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    command = [sys.executable, str(folder / "parent.py"), str(seconds)]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def test_the_exit_status_the_folder_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert child_processes.run_module("waiting", ["3", "0"], tmp_path, without=["TF_CONFIG"]) == 3
    assert begun(tmp_path)[1] == "None"


def test_one_signal_is_passed_on_and_waited_for(tmp_path):
    parent = start_parent(tmp_path, 1)
    child, _ = begun(tmp_path)
    parent.send_signal(signal.SIGINT)
    parent.wait(30)
    assert (tmp_path / "ended").read_text() == "by SIGTERM"
    assert not is_alive(child)


def test_a_second_signal_kills(tmp_path):
    parent = start_parent(tmp_path, 60)
    child, _ = begun(tmp_path)
    parent.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    parent.send_signal(signal.SIGTERM)
    parent.wait(30)
    wait_for_end(child)
    assert not (tmp_path / "ended").exists()


def test_the_child_ends_with_a_parent_that_is_killed(tmp_path):
    parent = start_parent(tmp_path, 0)
    child, _ = begun(tmp_path)
    parent.kill()
    parent.wait(30)
    wait_for_end(child)
