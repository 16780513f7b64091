"""Checks the paths that users give as flags before anything is read from them."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.utils.errors import UserError, did_you_mean


def local_path(flag: str, value: str) -> Path:
    """Returns the path that a flag names, with a leading ~ replaced by the home folder.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is empty, a URL, or names the home folder of an unknown user.
    """
    if not value:
        raise UserError(f"--{flag} is empty; give it a path")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        raise UserError(f"--{flag}={value} is a URL; only files and folders of this machine can be read and written")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise UserError(f"--{flag}={value}: there is no such user") from None


def similar_beside(path: Path) -> str:
    """Returns "; did you mean NAME?" with the entry beside a missing path that is most like it, or "" if none is."""
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, beside)


def _existing(flag: str, value: str) -> Path:
    path = local_path(flag, value)
    if not path.exists():
        raise UserError(f"--{flag}={path} does not exist{similar_beside(path)}")
    return path


def existing_file(flag: str, value: str, way_out: str) -> Path:
    """Returns the file that a flag names.

    Args:
        flag: name of the flag.
        value: its value.
        way_out: what to give instead of a folder, such as "name the archive itself".

    Raises:
        UserError: the value is no local path, the file does not exist, or it is a folder.
    """
    path = _existing(flag, value)
    if path.is_dir():
        raise UserError(f"--{flag}={path} is a folder; {way_out}")
    return path


def existing_folder(flag: str, value: str, way_out: str) -> Path:
    """Returns the folder that a flag names.

    Args:
        flag: name of the flag.
        value: its value.
        way_out: what to give instead of a file, such as "unpack it first".

    Raises:
        UserError: the value is no local path, the folder does not exist, or it is a file.
    """
    path = _existing(flag, value)
    if not path.is_dir():
        raise UserError(f"--{flag}={path} is a file; {way_out}")
    return path


def new_folder(flag: str, value: str) -> Path:
    """Returns the folder that a flag names and that is to be written at once: missing, or empty.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is no local path, or it exists and is not an empty folder, or it is the working folder or
            a mount point, which cannot be replaced, or a file stands where one of the folders above it should be.
    """
    path = local_path(flag, value)
    if path.resolve() == Path.cwd():
        raise UserError(f"--{flag}={path} is the folder that you work in; name another, which is then made")
    if path.is_mount():
        raise UserError(f"--{flag}={path} is a mount point, which cannot be replaced; name a folder inside it")
    if path.is_dir():
        if any(path.iterdir()):
            raise UserError(f"--{flag}={path} exists; remove it or choose another")
    else:
        blocking = next((above for above in (path, *path.parents) if above.exists() and not above.is_dir()), None)
        if blocking:
            raise UserError(f"--{flag}={path}: {blocking} exists and is a file; remove it or choose another")
    return path


@contextlib.contextmanager
def without_wildcards(folder: Path) -> Iterator[Path]:
    """Yields a path of a folder in which none of `* ? [ ] \\` occurs: its own, or that of a temporary link to it.

    TensorFlow takes the paths of the checkpoints and models that it reads for patterns, and so does not find a run in
    `run [1]`.
    """
    absolute = folder.resolve()
    if not set("*?[]\\") & set(str(absolute)):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        link = Path(scratch) / "link"
        link.symlink_to(absolute)
        yield link
