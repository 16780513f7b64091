"""Tests that a full disk ends a verb with one line, and that the same command goes on when there is space again."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.killing import half_written, run_counted
from tests.helpers.processes import start_verb
from tests.helpers.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


class SmallDisk:
    """A file system in memory, mounted on a folder.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def mount(self, *options: str) -> None:
        """Mounts the file system, or mounts it again with other options, such as "size=1000000"."""
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(self._folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk]:
    """A small disk mounted on the folder `disk`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not shutil.which("mount"):
        pytest.skip("no file system can be mounted here: there is no mount")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], capture_output=True)


def _run(scenario, arguments, folder) -> tuple[int, str]:
    process = start_verb(scenario.verb, *arguments, cwd=folder)
    _, stderr = process.communicate(timeout=900)
    return process.returncode, stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_a_full_disk_a_verb_says_so_and_goes_on_when_there_is_space(name, inputs, disk, tmp_path):
    scenario = SCENARIOS[name]
    arguments = scenario.arguments(inputs)
    whole = tmp_path / "whole"
    whole.mkdir()
    run_counted(0, scenario.verb, arguments, whole)
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    disk.mount(f"size={needed // 2}")
    code, stderr = _run(scenario, arguments, tmp_path / "disk")
    assert code == 1
    assert "Traceback" not in stderr
    (line,) = (line for line in stderr.splitlines() if line.startswith("error: "))
    assert "disk is full" in line or "free" in line, line
    assert half_written(tmp_path / "disk") == []
    disk.mount("remount", f"size={20 * needed}")
    code, stderr = _run(scenario, arguments, tmp_path / "disk")
    assert code == 0, stderr
    assert half_written(tmp_path / "disk") == []
    assert scenario.result(tmp_path / "disk") == scenario.result(whole)


def test_on_a_file_system_that_is_read_only_a_verb_says_so_before_it_begins(inputs, disk, tmp_path):
    disk.mount("size=1000000")
    disk.mount("remount", "ro")
    for scenario in SCENARIOS.values():
        code, stderr = _run(scenario, scenario.arguments(inputs), tmp_path / "disk")
        assert code == 1
        assert "Traceback" not in stderr
        (line,) = stderr.splitlines()
        assert line.startswith("error: "), line
        assert "cannot be written" in line, line
