"""Knows whether this process tells the user how it was stopped and what comes next, or leaves that to its parent.

A step of a suite leaves it: the user gave another command, in another folder, so the step's own advice would not hold.
This module is imported before everything else, and therefore imports nothing.
"""

_is_ours = True


def leave_to_parent() -> None:
    """Lets this process keep silent, from here on, about signals that stop it and about what the user may do next."""
    global _is_ours
    _is_ours = False


def is_ours() -> bool:
    """Returns whether this process tells the user how it was stopped and what comes next."""
    return _is_ours
