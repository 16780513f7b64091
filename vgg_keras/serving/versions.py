"""A model's versions, side by side in numbered folders as model servers watch them: complete or not there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.utils.cli import UserError


def numbers(folder: Path) -> list[int]:
    """Returns the versions in a folder, ascending."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit() and path.is_dir())


def newest(folder: Path) -> Path:
    """Returns the folder of the newest version.

    Raises:
        UserError: there is none.
    """
    found = numbers(folder)
    if not found:
        raise UserError(f"{folder} holds no version of a model; vgg_keras.export makes one")
    return folder / str(found[-1])


@contextlib.contextmanager
def new_version(folder: Path, main_file: str) -> Iterator[Path]:
    """Yields an empty folder; it becomes the next version when the block ends well, and vanishes when it does not.

    Until then its name is none that a server loads. What killed processes left is removed.

    Args:
        folder: the folder of versions, made if it is not there.
        main_file: the file that every version must hold; a server that finds none in a version stumbles.

    Raises:
        UserError: the versions that are there are of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = numbers(folder)
    for version in found:
        if not (folder / str(version) / main_file).exists():
            raise UserError(
                f"{folder / str(version)} holds no {main_file}: it is of another format; choose another --output_dir"
            )
    for left in (*folder.glob(".*.incomplete"), *folder.glob(".*.removed")):
        shutil.rmtree(left)
    version = max(found, default=0) + 1
    temporary = folder / f".{version}.incomplete"
    temporary.mkdir()
    try:
        yield temporary
        os.rename(temporary, folder / str(version))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def keep_newest(folder: Path, count: int) -> list[int]:
    """Removes all but the newest versions, each at once for who looks on; returns those removed."""
    removed = numbers(folder)[:-count]
    for version in removed:
        doomed = folder / f".{version}.removed"
        os.rename(folder / str(version), doomed)
        shutil.rmtree(doomed)
    return removed
