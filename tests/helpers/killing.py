"""Runs verbs that are killed by SIGKILL at a chosen operation on a file, and looks for half-written files."""

import io
import json
import os
import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers.nursery import Forked
from tests.helpers.paths import ROOT

# Runs a verb, counts what it does to files below the working folder, and kills it before the operation of a number.
# At the end it writes the count to a file.
_SCRIPT = """
import atexit, os, runpy, signal, sys
number, count_file, verb, *sys.argv[1:] = sys.argv[1:]
number, here, count = int(number), os.getcwd() + os.sep, 0
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.symlink"}

def on_event(event, arguments):
    global count
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR) if isinstance(flags, int) else set(mode or "") & set("wax+")
        if not writes:
            return
    elif event not in CHANGES:
        return
    path = arguments[0]
    if isinstance(path, (str, os.PathLike)) and os.path.abspath(path).startswith(here):
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

atexit.register(lambda: open(count_file, "w").write(str(count)))
sys.addaudithook(on_event)
runpy.run_module(verb, run_name="__main__", alter_sys=True)
"""


def run_counted(number: int, verb: str, arguments: Sequence[str], cwd: Path) -> int | None:
    """Runs a verb to its end, or kills it before it changes a file for the time of a number.

    Args:
        number: number of the operation, from 1; 0: the verb is not killed.
        verb: module of the verb.
        arguments: its command line.
        cwd: working folder, below which operations count.

    Returns:
        The number of operations, or None if the verb was killed.
    """
    count_file = cwd.parent / f"{cwd.name}.count"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = Forked(_SCRIPT, [str(number), str(count_file), verb, *arguments], cwd, environment)
    _, stderr = process.communicate(timeout=900)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, stderr
    return int(count_file.read_text())


def half_written(folder: Path) -> list[str]:
    """Returns the files below a folder that have a final name and are not whole, each with the reason.

    Hidden files, and those in hidden or unfinished folders, are no final names.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_dir() or any(part.startswith(".") or ".incomplete" in part or part == "partial" for part in parts):
            continue
        try:
            _check(path)
        except Exception as error:
            found.append(f"{path}: {error!r}")
    return found


def _check(path: Path) -> None:
    content = path.read_bytes()
    if path.suffix == ".json":
        json.loads(content)
    elif path.suffix == ".jsonl":
        # A last line without its end is known to be unfinished.
        for line in content.split(b"\n")[:-1]:
            json.loads(line)
    elif path.suffix in (".keras", ".npz"):
        assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    elif path.suffix in (".png", ".jpg"):
        Image.open(io.BytesIO(content)).load()
    elif path.suffix == ".npy":
        np.load(io.BytesIO(content))
    elif path.suffix in (".txt", ".csv", ".md", ".cfg"):
        assert content.endswith(b"\n")
