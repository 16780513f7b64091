"""Defines the error that users see as one line, and turns the libraries' errors into such lines."""

import difflib
import errno
import os
import re
from collections.abc import Iterable

from vgg_keras.utils.escaping import visible

# What the operating system says about a path that cannot be.
_ABOUT_PATHS = {
    os.strerror(code).lower() for code in (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT, errno.EEXIST)
}
# As TensorFlow words it where the operating system was not asked.
_NO_FOLDER = re.compile(r" is (not )?a directory$")
# What NumPy says, without a code, where the disk takes only a part of an array.
_CUT_BY_NUMPY = re.compile(r"^\d+ requested and \d+ written$")
# As TensorFlow words it inside a graph, and eagerly.
_ASSERTION = re.compile(r"assertion failed: \[(.*)\]|Summarized data: b['\"](.*)['\"]")


class UserError(Exception):
    """Error that the user can correct; its message names the file or value, what is wrong, and what to do.

    The message is shown as one line, whatever the names in it hold.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class BrokenClusterError(UserError):
    """Error that another worker of a cluster differs, has failed, or is lost; TensorFlow may still wait for it."""


class LostWorkerError(BrokenClusterError):
    """Error that another worker of a cluster is gone, late, missing, or was stopped.

    The same command, given again on all workers, may succeed.
    """


def reason(error: Exception) -> str:
    """Returns what a library's error message tells a user: of a failed TensorFlow assertion, the text of the assertion.

    Of other messages it is the first line, without TensorFlow's names of graph nodes and ops.
    """
    if asserted := _ASSERTION.search(str(error)):
        return asserted[1] or asserted[2]
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\].*", "", first_line)


def explain(error: Exception) -> str | None:
    """Returns the message for an error that the user can correct, or None for any other error, which is a bug."""
    if isinstance(error, UserError):
        return str(error)
    code = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    # TensorFlow's file writers raise a class of their own, with the operating system's text.
    if code in (errno.ENOSPC, errno.EDQUOT) or "no space left on device" in text or _CUT_BY_NUMPY.search(text):
        return f"the disk is full ({error}); free some space, or choose another --output_dir, and run again"
    if code == errno.EFBIG or "file too large" in text:
        return f"a file became larger than the system allows ({error}); raise the limit (ulimit -f), and run again"
    if code == errno.EROFS or "read-only file system" in text:
        return f"the file system is read only ({error}); choose another --output_dir"
    # TensorFlow's class of this name is no PermissionError.
    if isinstance(error, PermissionError) or type(error).__name__ == "PermissionDeniedError":
        return f"no permission: {reason(error)}"
    # Such as a file in the place of a folder, or a name that is too long.
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; choose another path, or remove what is in the way"
    # TensorFlow's writers again: a path, and what the operating system says of it.
    said = reason(error).lower()
    if type(error).__module__.startswith("tensorflow") and (
        said.rpartition("; ")[2] in _ABOUT_PATHS or _NO_FOLDER.search(said)
    ):
        return f"{reason(error)}; choose another path, or remove what is in the way"
    return None


def near_name(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that a mistyped one most likely stands for, or None.

    Besides misspellings it understands initials ("lr" for "learning_rate") and other cases of letters.

    Args:
        name: the name as the user wrote it.
        known: the names that exist.
    """
    lowered = {other.lower(): other for other in known}
    initials = {"".join(word[0] for word in re.split(r"[_\W]+", other) if word): other for other in lowered}
    if name.lower() in initials:
        return lowered[initials[name.lower()]]
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns "; did you mean NAME?" with the known name nearest to a mistyped one, or "" if none is near.

    Args:
        name: the name as the user wrote it.
        known: the names that exist.
        prefix: text in front of the suggested name, such as "--flag=".
    """
    near = near_name(name, known)
    return f"; did you mean {prefix}{near}?" if near else ""
