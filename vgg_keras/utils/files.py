"""Writes files atomically and durably: a reader finds a complete file or none, even after a crash or a power cut."""

import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import storable

_CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


def other_kind(path: Path, *, follow_links: bool = True) -> str | None:
    """Returns what stands at a path in place of a file, such as "a folder"; None for a file, or if nothing does.

    Args:
        path: the path; it is not opened, which would wait for the other end of a pipe.
        follow_links: whether a link counts as what it leads to.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow_links).st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def require_file(path: Path) -> None:
    """Checks that a file can be written at a path: there is one, which will be replaced, or nothing.

    Raises:
        UserError: something else stands there.
    """
    kind = other_kind(path)
    if kind:
        raise UserError(f"{path} is {kind}, where a file is to be written: move it away, and run again")


def require_folder(path: Path) -> None:
    """Checks that files can be written below a path: it is a folder, or there is nothing.

    Raises:
        UserError: something else stands there.
    """
    if os.path.lexists(path) and not path.is_dir():
        kind = other_kind(path) or ("a file" if path.exists() else "a link to nothing")
        raise UserError(f"{path} is {kind}, where a folder is to be: move it away, and run again")


def temporary_path(path: Path) -> Path:
    """Returns the path under which `write_atomically` writes a file until it is complete."""
    return path.with_name(f".{path.stem}.incomplete{path.suffix}")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name with the same suffix, syncs it to disk, then renames it to `path`.

    Args:
        path: the file; an existing one is replaced, and missing folders above it are made.
        write: function that writes the content to the path that it is given; its errors are passed on.

    Raises:
        UserError: a folder, a pipe or a device stands at the path.
        OSError: the file cannot be written; the error names the file, and not the temporary one.
    """
    require_file(path)
    if path.is_symlink():  # which stays one
        path = Path(os.path.realpath(path))
    temporary = temporary_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write(temporary)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file, complete or not at all."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, complete or not at all; parts of file names that are not UTF-8 are escaped."""
    write_atomically(path, lambda temporary: temporary.write_text(storable(text), encoding="utf-8"))


def write_output(path: Path, text: str) -> None:
    """Writes a text file that the user names: as `write_text`, but into a device or a pipe, such as /dev/stdout.

    Raises:
        UserError: a folder stands at the path.
        OSError: the file cannot be written.
    """
    if other_kind(path) is None or path.is_dir():
        write_text(path, text)
    else:
        path.write_text(storable(text), encoding="utf-8")


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of names, is on the disk and would survive a power cut.

    Raises:
        OSError: the content cannot be written, such as on a full disk.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Waits until a folder and all that is in it are on the disk.

    Raises:
        OSError: the content cannot be written.
    """
    for path in (*folder.rglob("*"), folder):
        sync(path)


def describe(path: Path) -> dict:
    """Returns a file's size in bytes and its SHA-256, {"bytes": size, "sha256": hexadecimal digits}, ready for JSON."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def difference(path: Path, described: Mapping) -> str | None:
    """Returns how a file differs from what `describe` returned for it when it was written, or None if it does not."""
    try:
        size = path.stat().st_size
        if size != described["bytes"]:
            return f"{path.name} has {size:,} bytes instead of {described['bytes']:,}"
        return None if sha256(path) == described["sha256"] else f"{path.name} is damaged: its checksum is wrong"
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
