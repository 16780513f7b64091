"""Manages a model's versions in numbered folders, as model servers watch them, and never exposes part of one."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.utils import files, locks
from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError

# Subfolder of a version for files that the graph does not use.
EXTRA = "assets.extra"


def numbers(folder: Path) -> list[int]:
    """Returns the numbers of the versions in a folder, ascending."""
    found = ((parse_whole(path.name), path) for path in folder.glob("*"))
    return sorted(number for number, path in found if number is not None and path.is_dir())


def newest(folder: Path) -> Path:
    """Returns the folder of the newest version.

    Raises:
        UserError: the folder holds no version.
    """
    found = numbers(folder)
    if not found:
        raise UserError(f"{folder} holds no version of a model; vgg_keras.export makes one")
    return folder / str(found[-1])


def published(temporary: Path) -> Path:
    """Returns the folder that a folder of `new_version` becomes."""
    return temporary.with_name(temporary.name.split(".")[1])


def require_format(folder: Path, main_file: str, flag: str = "output_dir") -> None:
    """Checks that the versions in a folder, which may be missing, are of one format.

    Args:
        folder: folder of the versions.
        main_file: name of the file that every version must hold; a server fails on a version without it.
        flag: name of the flag that names the folder, for the message.

    Raises:
        UserError: an existing version has another format.
    """
    for version in numbers(folder):
        if not (folder / str(version) / main_file).exists():
            raise UserError(
                f"{folder / str(version)} holds no {main_file}: it is of another format; choose another --{flag}"
            )


@contextlib.contextmanager
def new_version(folder: Path, main_file: str, flag: str = "output_dir") -> Iterator[Path]:
    """Yields an empty folder, which becomes the next version if the block succeeds, and is removed if it fails.

    Until then it has a name that no server loads. Folders that killed processes left behind are removed.

    Args:
        folder: folder of the versions, created if missing.
        main_file: name of the file that every version must hold; a server fails on a version without it.
        flag: name of the flag that names the folder, for messages.

    Raises:
        UserError: an existing version has another format, or another process writes a version.
    """
    with locks.locked(folder, flag):
        require_format(folder, main_file, flag)
        yield from _new_version(folder)


def _new_version(folder: Path) -> Iterator[Path]:
    for left in (*folder.glob(".*.incomplete"), *folder.glob(".*.removed")):
        shutil.rmtree(left, ignore_errors=True)
    version = max(numbers(folder), default=0) + 1
    temporary = folder / f".{version}.incomplete"
    temporary.mkdir()
    try:
        yield temporary
        files.sync_tree(temporary)
        os.rename(temporary, published(temporary))
        files.sync(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def keep_newest(folder: Path, count: int) -> list[int]:
    """Removes all but the newest versions.

    Each is renamed before it is deleted, so that a server never sees part of a version.

    Args:
        folder: folder of the versions.
        count: number of versions to keep, at least 1.

    Returns:
        The numbers of the removed versions.
    """
    removed = numbers(folder)[:-count]
    for version in removed:
        doomed = folder / f".{version}.removed"
        with contextlib.suppress(FileNotFoundError):  # another export may remove it at the same moment
            os.rename(folder / str(version), doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    return removed
