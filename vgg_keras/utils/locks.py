"""Keeps two processes from writing the same folder, on one machine or on several that share a file system.

The lock is a file that names its holder. The operating system locks it (`flock`) and frees it when the holder ends in
any way, so that a killed process leaves no lock behind. Where the file system does not tell other machines of such
locks, a lock counts as held while its holder touches the file.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.utils import console, files
from vgg_keras.utils.errors import UserError

NAME = ".lock"
# Seconds between two touches of the file, and without a touch until the holder on another machine is taken for dead.
_BEAT, _SILENCE = 5.0, 20.0
# Bytes of a lock that are read, and characters of a command line, of which one with many photos is longer, in a lock.
_MOST_BYTES, _MOST_COMMAND = 1 << 16, 1000


@dataclasses.dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        host: name of its machine.
        pid: number of the process there.
        since: when it took the lock, as "2026-01-31 12:00:00 UTC".
        command: its command line.
    """

    host: str
    pid: int
    since: str
    command: str

    @classmethod
    def this_process(cls) -> "Holder":
        """Returns the holder that this process is."""
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        return cls(socket.gethostname(), os.getpid(), since, shlex.join(sys.argv)[:_MOST_COMMAND])

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since} ({self.command})"


@contextlib.contextmanager
def locked(folder: Path, flag: str = "output_dir", *, remove_if_empty: bool = False) -> Iterator[None]:
    """Holds the lock of a folder inside the context.

    Args:
        folder: the folder, which is made if it is missing, and removed again if nothing was written to it.
        flag: name of the flag that names the folder, for the message.
        remove_if_empty: whether a folder that existed before is removed too if nothing is left in it.

    Raises:
        UserError: another process writes the folder, or a file of somebody else stands in the place of the lock.
        OSError: the folder cannot be written; nothing is left of the lock and of a folder that was made for it.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _held(folder / NAME, flag):
            yield
    finally:
        if made or remove_if_empty:
            with contextlib.suppress(OSError):  # what was written stays
                folder.rmdir()


@contextlib.contextmanager
def _held(path: Path, flag: str) -> Iterator[None]:
    """Holds the lock of a file inside the context, and removes the file at its end."""
    descriptor = _acquire(path, flag)
    ended = threading.Event()
    touching = threading.Thread(target=_touch, args=(descriptor, ended), daemon=True)
    touching.start()
    try:
        yield
    finally:
        ended.set()
        touching.join()
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, flag: str) -> int:
    """Returns the descriptor of the locked file.

    Raises:
        UserError: another process holds the lock, or something that no lock wrote stands in its place.
        OSError: the file cannot be written, and was removed.
    """
    while True:
        descriptor = _open(path)
        try:
            system_decides = _lock(descriptor)
            holder = _read(descriptor)
            if system_decides is None or (holder and _is_alive(path, holder, system_decides)):
                raise UserError(
                    f"{path.parent} is in use by {holder or 'another process'}; wait until it has ended, "
                    f"or choose another --{flag}"
                )
            if _is_file(descriptor, path):  # not one that its holder has removed meanwhile
                _require_own(descriptor, path, holder, flag)
                _write(descriptor, path)
                return descriptor
            os.close(descriptor)
        except BaseException:
            os.close(descriptor)
            raise


def _open(path: Path) -> int:
    """Opens the file of a lock, which is made if it is missing; a link is not followed, a pipe not waited for.

    Raises:
        UserError: something else than a file stands at the path.
    """
    kind = files.other_kind(path, follow_links=False)
    if kind:
        raise UserError(f"{path} is {kind}, where the file of a lock belongs: remove it, and run again")
    # The flags are for what is put there at this very moment.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _lock(descriptor: int) -> bool | None:
    """Locks an open file: True if the system did, False if the file system knows no locks, None if another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:
        return False
    return True


def _is_alive(path: Path, holder: Holder, system_decides: bool) -> bool:
    """Returns whether the process named in a lock that the system has just given to this one still runs."""
    if system_decides and holder.host == socket.gethostname():
        return False
    console.say(f"{path.parent} was in use by {holder}; waiting up to {_SILENCE:.0f} seconds to see if it still is")
    touched = path.stat().st_mtime_ns
    deadline = time.monotonic() + _SILENCE
    while time.monotonic() < deadline:
        time.sleep(_SILENCE / 40)
        if not path.exists():  # the holder has ended
            return False
        if path.stat().st_mtime_ns != touched:
            return True
    return False


def _read(descriptor: int) -> Holder | None:
    """Returns the holder that an open lock file names, or None for a new file and for one that no lock wrote."""
    try:
        return Holder(**json.loads(os.pread(descriptor, _MOST_BYTES, 0)))
    except (ValueError, TypeError, RecursionError):
        return None


def _require_own(descriptor: int, path: Path, holder: Holder | None, flag: str) -> None:
    """Checks that an open file may be overwritten: it is empty or names a holder, and has no second name.

    Raises:
        UserError: it is a file of somebody else.
    """
    status = os.fstat(descriptor)
    if status.st_nlink > 1:
        problem = "is a hard link to a file that has another name too"
    elif status.st_size and holder is None:
        problem = "holds something that no lock of this package wrote"
    else:
        return
    raise UserError(f"{path} {problem}, and would be overwritten: move it away, or choose another --{flag}")


def _write(descriptor: int, path: Path) -> None:
    """Writes this process into an open lock file, which is removed if that fails.

    Raises:
        OSError: the file cannot be written, such as on a full disk.
    """
    content = json.dumps(dataclasses.asdict(Holder.this_process())).encode()
    try:
        os.ftruncate(descriptor, 0)
        if os.pwrite(descriptor, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    except OSError as error:
        path.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise


def _is_file(descriptor: int, path: Path) -> bool:
    """Returns whether an open file is the one that has a name now."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _touch(descriptor: int, ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        with contextlib.suppress(OSError):  # the file system is away for a moment
            os.utime(descriptor)
