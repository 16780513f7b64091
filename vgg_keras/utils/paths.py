"""Checks the paths that users give as flags before anything is read from them or computed to be written to them."""

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from vgg_keras.utils.errors import UserError, did_you_mean

# A path as a text or an object.
PathLike: TypeAlias = str | os.PathLike[str]
# Longest name of a file in bytes where the file system does not tell its own limit, and the room in it that the names
# of unfinished files and folders take up beside the user's name.
_NAME_MAX, _NAME_ROOM = 255, 32
_SHOWN_NAME = 20
# Longest path in bytes, and the room in it for the files of a folder.
_PATH_MAX, _PATH_ROOM = 4096, 256

# A URL; of the schemes of remote storage also what is left of one by `pathlib`, which joins slashes.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(gs|s3a?|hdfs|https?|file|ftp|abfss?|wasbs?|hf):/")


def expand(name: str, value: str) -> str:
    """Returns a path with a leading ~ replaced by the home folder; that of an unknown user stays as it is.

    Args:
        name: the path as messages name it, such as "--data_dir=gs://bucket".
        value: the path.

    Raises:
        UserError: the value is a URL, or holds a null character.
    """
    if _URL.match(value):
        raise UserError(
            f"{name} is a URL; only files and folders of this machine can be read and written: copy it here first, or "
            "mount it as a folder"
        )
    if "\0" in value:
        raise UserError(f"{name!r} holds a null character, which no path can")
    return os.path.expanduser(value)


def local_path(flag: str, value: PathLike) -> Path:
    """Returns the path that a flag names, with a leading ~ replaced by the home folder.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is empty, a URL, or names the home folder of an unknown user.
    """
    if not os.fspath(value):
        raise UserError(f"--{flag} is empty; give it a path")
    try:
        return Path(expand(f"--{flag}={value}", os.fspath(value))).expanduser()
    except RuntimeError:
        raise UserError(f"--{flag}={value}: there is no such user") from None


def similar_beside(path: Path) -> str:
    """Returns "; did you mean NAME?" with the entry beside a missing path that is most like it, or "" if none is."""
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, beside)


def existing(flag: str, value: PathLike) -> Path:
    """Returns the file or the folder that a flag names.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is no local path, or does not exist.
    """
    path = local_path(flag, value)
    if not path.exists():
        raise UserError(f"--{flag}={path} does not exist{similar_beside(path)}")
    return path


def existing_file(flag: str, value: PathLike, way_out: str) -> Path:
    """Returns the file that a flag names.

    Args:
        flag: name of the flag.
        value: its value.
        way_out: what to give instead of a folder, such as "name the archive itself".

    Raises:
        UserError: the value is no local path, the file does not exist, or it is a folder.
    """
    path = existing(flag, value)
    if path.is_dir():
        raise UserError(f"--{flag}={path} is a folder; {way_out}")
    return path


def existing_folder(flag: str, value: PathLike, way_out: str) -> Path:
    """Returns the folder that a flag names.

    Args:
        flag: name of the flag.
        value: its value.
        way_out: what to give instead of a file, such as "unpack it first".

    Raises:
        UserError: the value is no local path, the folder does not exist, or it is a file.
    """
    path = existing(flag, value)
    if not path.is_dir():
        raise UserError(f"--{flag}={path} is a file; {way_out}")
    return path


def _check_writable(flag: str, value: Path, path: Path) -> None:
    """Checks that a file or a folder can be made under a path, of which any part may be missing.

    Args:
        flag: name of the flag.
        value: the path that the flag names, for messages.
        path: the path that is checked.

    Raises:
        UserError: a file stands where one of the folders above should be, the folder in which the first part is to be
            made cannot be written to, or a name is too long.
    """
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    shown = above.relative_to(Path.cwd()) if above.is_relative_to(Path.cwd()) and above != Path.cwd() else above
    if not os.path.isdir(above):
        what = "exists and is a file" if os.path.exists(above) else "is a link to nothing"
        raise UserError(f"--{flag}={value}: {shown} {what}; remove it or choose another")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"--{flag}={value}: {shown} cannot be written to; choose another folder")
    if len(os.fsencode(path.absolute())) > _PATH_MAX - _PATH_ROOM:
        raise UserError(f"--{flag}: the path has {len(os.fsencode(path.absolute())):,} bytes; choose a shorter one")
    longest = _NAME_MAX
    with contextlib.suppress(OSError, ValueError):
        longest = os.pathconf(above, "PC_NAME_MAX")
    for name in path.absolute().relative_to(above).parts:
        length, most = len(os.fsencode(name)), longest - _NAME_ROOM
        if length > most:
            raise UserError(
                f"--{flag}: the name {name[:_SHOWN_NAME]}... has {length} bytes; choose one of at most {most}"
            )


def _check_folder(flag: str, path: Path) -> None:
    """Checks that files can be written into a folder, which may be missing.

    Raises:
        UserError: nothing can be written there, or the path is not text, which TensorFlow's writers need.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"--{flag}={path}: TensorFlow needs a path in UTF-8; choose another name, or, if this one is UTF-8, set "
            "the environment variable PYTHONUTF8=1"
        ) from None
    _check_writable(flag, path, path / "file")


def output_file(flag: str, value: PathLike) -> Path:
    """Returns the file that a flag names and that is to be written; folders above it may be missing.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is no local path, or no file can be written there.
    """
    path = local_path(flag, value)
    if os.path.isdir(path):  # unlike the method of Path, it takes names that are too long
        raise UserError(f"--{flag}={path} is a folder; name a file in it")
    _check_writable(flag, path, path)
    return path


def output_folder(flag: str, value: PathLike) -> Path:
    """Returns the folder that a flag names and into which is to be written; it may be missing, and those above it too.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is no local path, or nothing can be written there.
    """
    path = local_path(flag, value)
    _check_folder(flag, path)
    return path


def _identity(path: Path) -> tuple[int, int] | str | None:
    """Returns what two paths of the same file or folder have in common; None for a device or a pipe, such as /dev/null.

    Of a path that does not exist it is the path without links.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return os.path.realpath(path)
    is_kept = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return (status.st_dev, status.st_ino) if is_kept else None


def lies_in(path: PathLike, folder: PathLike) -> bool:
    """Returns whether a path is a folder, or something at any depth inside it; links count as what they lead to."""
    above = _identity(Path(folder))
    real = Path(os.path.realpath(path))
    return above is not None and any(_identity(one) == above for one in (real, *real.parents))


def require_separate(
    outputs: Iterable[tuple[str, PathLike]],
    inputs: Iterable[PathLike] = (),
    folders: Iterable[tuple[str, PathLike]] = (),
) -> None:
    """Checks that what is to be written is nothing that is read, and that no two outputs stand in each other's way.

    Args:
        outputs: name of the flag and path of each file that is to be written.
        inputs: files and folders that are read.
        folders: name of the flag and path of each folder into which is to be written.

    Raises:
        UserError: an output is one of the inputs, which it would overwrite, or another output, or lies below a file.
    """
    read = {_identity(Path(path)) for path in inputs} - {None}
    outputs = [(flag, path) for flag, path in outputs if _identity(Path(path)) is not None]
    written: dict[object, str] = {}
    for flag, path in (*outputs, *folders):
        identity, shown = _identity(Path(path)), _shown(flag, path)
        if identity in read:
            raise UserError(f"{shown} is one of the inputs, and would overwrite it; choose another --{flag}")
        if identity in written:
            raise UserError(f"{written[identity]} and {shown} are the same path; choose another --{flag}")
        written[identity] = shown
    files = {os.path.realpath(path): _shown(flag, path) for flag, path in outputs}
    for flag, path in (*outputs, *folders):
        if above := next((files[str(one)] for one in Path(os.path.realpath(path)).parents if str(one) in files), None):
            raise UserError(f"{_shown(flag, path)} lies below {above}, which is a file; choose another --{flag}")


def require_not_inside(outputs: Iterable[tuple[str, PathLike]], inputs: Iterable[PathLike]) -> None:
    """Checks that nothing is written into a folder that is read as a whole, and that a file more would change.

    Args:
        outputs: name of the flag and path of each file or folder that is to be written.
        inputs: the folders that are read.

    Raises:
        UserError: an output is such a folder, or lies in one.
    """
    inputs = list(inputs)
    for flag, path in outputs:
        if above := next((folder for folder in inputs if lies_in(path, folder)), None):
            raise UserError(
                f"{_shown(flag, path)} lies in one of the inputs, {os.fspath(above)}, and would change it; choose "
                f"another --{flag}"
            )


def require_outside(folders: Iterable[tuple[str, PathLike]], inputs: Iterable[PathLike]) -> None:
    """Checks that nothing that is read lies in a folder whose content is replaced.

    Args:
        folders: name of the flag and path of each folder.
        inputs: files and folders that are read.

    Raises:
        UserError: an input lies there.
    """
    existing, inputs = [(flag, path) for flag, path in folders if os.path.isdir(path)], list(inputs)
    for flag, folder in existing:
        for path in inputs:
            if lies_in(path, folder):
                raise UserError(
                    f"{_shown(flag, folder)} holds one of the inputs, {os.fspath(path)}, and would replace it; choose "
                    f"another --{flag}"
                )


def _shown(flag: str, path: PathLike) -> str:
    return f"--{flag}={os.fspath(path)}"


def new_folder(flag: str, value: PathLike) -> Path:
    """Returns the folder that a flag names and that is to be written at once: missing, or empty.

    Args:
        flag: name of the flag.
        value: its value.

    Raises:
        UserError: the value is no local path, or it exists and is not an empty folder, or it is the working folder or
            a mount point, which cannot be replaced, or no folder can be made there.
    """
    path = local_path(flag, value)
    if path.resolve() == Path.cwd():
        raise UserError(f"--{flag}={path} is the folder that you work in; name another, which is then made")
    if os.path.islink(path) and os.path.isdir(path):
        raise UserError(f"--{flag}={path} is a link, which cannot be replaced; name the folder itself")
    if os.path.ismount(path):
        raise UserError(f"--{flag}={path} is a mount point, which cannot be replaced; name a folder inside it")
    if os.path.isdir(path) and any(path.iterdir()):
        raise UserError(f"--{flag}={path} exists; remove it or choose another")
    _check_folder(flag, path)
    _check_writable(flag, path, path)  # the unfinished folder lies beside it
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
