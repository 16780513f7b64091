"""Suggests the name that a user may have meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known name that is most similar to a name, without regard to case, or "" if none is similar.

    >>> nearest("Trian", ["train", "validation"])
    'train'

    Args:
        name: the name that was given.
        known: the names that exist.
    """
    spelled = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), spelled, n=1)
    return spelled[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of an error message, such as "; did you mean 'train'?", or "" if no known name is similar.

    Args:
        name: the name that was given.
        known: the names that exist.
    """
    found = nearest(name, known)
    return f"; did you mean {found!r}?" if found else ""
