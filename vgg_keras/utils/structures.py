"""Describes the structure that the content of a JSON file should have, as data, and finds what is wrong in a content.

TEXT, TRUTH, NUMBER, whole(1), one_of("a", "b"), ...   a single value, described by a `Check`
[S]                                                    a list of any length, whose elements have the structure S
(S, T)                                                 a list of two elements
{"key": S}                                             a dictionary with at least this key
MapOf(S)                                               a dictionary whose values have the structure S
Maybe(S)                                               S, as the value of a key that may be missing
Nullable(S)                                            S or null
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from vgg_keras.utils.escaping import shortened

_LARGEST_INT = 2**63
# Characters of a value that a message shows.
_SHOWN = 60


@dataclasses.dataclass(frozen=True)
class Check:
    """A single value of a file.

    Attributes:
        description: what the value should be, after "should be".
        is_met: function that tells whether a value is so.
    """

    description: str
    is_met: Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Maybe:
    """A value of a key that may be missing."""

    structure: "Structure"


@dataclasses.dataclass(frozen=True)
class Nullable:
    """A value that may be null."""

    structure: "Structure"


@dataclasses.dataclass(frozen=True)
class MapOf:
    """A dictionary with any keys, whose values have one structure."""

    structure: "Structure"


Structure: TypeAlias = Check | Maybe | Nullable | MapOf | list | tuple | dict


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) < _LARGEST_INT and math.isfinite(value)


ANYTHING = Check("anything", lambda value: True)
TEXT = Check("a text", lambda value: isinstance(value, str))
TRUTH = Check("true or false", lambda value: isinstance(value, bool))
NUMBER = Check("a finite number", _is_number)
SCALAR = Check("a text, a number or true or false", lambda value: isinstance(value, (str, bool)) or _is_number(value))

# What `files.describe` returns for a file.
DESCRIBED_FILE = {
    "bytes": Check("a whole number of at least 0", lambda value: isinstance(value, int) and 0 <= value < _LARGEST_INT),
    "sha256": TEXT,
}


def number(lower: float, upper: float = math.inf) -> Check:
    """Returns the structure of a finite number in a range, both ends included."""
    bounds = f"from {lower:g} to {upper:g}" if math.isfinite(upper) else f"of at least {lower:g}"
    return Check(f"a number {bounds}", lambda value: _is_number(value) and lower <= value <= upper)


def whole(lower: int) -> Check:
    """Returns the structure of a whole number that is at least `lower`."""
    return Check(
        f"a whole number of at least {lower}",
        lambda value: isinstance(value, int) and _is_number(value) and value >= lower,
    )


def one_of(*choices: Any) -> Check:
    """Returns the structure of a value that is one of several."""
    names = ", ".join(json.dumps(choice) for choice in choices)
    return Check(f"one of {names}", lambda value: any(type(value) is type(one) and value == one for one in choices))


def either(first: Check, second: Check) -> Check:
    """Returns the structure of a single value that is one of two kinds."""
    return Check(
        f"{first.description} or {second.description}", lambda value: first.is_met(value) or second.is_met(value)
    )


def matching(pattern: str, description: str) -> Check:
    """Returns the structure of a text that matches a regular expression as a whole."""
    return Check(description, lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None)


def find_problem(value: Any, structure: Structure, where: str = "") -> str:
    """Returns what is wrong in a value in the terms of JSON, as the end of a message; "" if it has the structure.

    >>> find_problem({"scales": [256, "384"]}, {"scales": [whole(1)]})
    'scales[1] is "384", should be a whole number of at least 1'

    Args:
        value: the value.
        structure: the structure that it should have.
        where: the value's position in the file.
    """
    if isinstance(structure, Check):
        return "" if structure.is_met(value) else _mismatch(where, value, structure.description)
    if isinstance(structure, Maybe):
        return find_problem(value, structure.structure, where)
    if isinstance(structure, Nullable):
        return "" if value is None else find_problem(value, structure.structure, where)
    if isinstance(structure, (list, tuple)):
        return _problem_of_list(value, structure, where)
    return _problem_of_dict(value, structure, where)


def _problem_of_list(value: Any, structure: list | tuple, where: str) -> str:
    if not isinstance(value, list):
        return _mismatch(where, value, "a list")
    if isinstance(structure, list):
        parts = structure * len(value)
    elif len(value) != len(structure):
        return _mismatch(where, value, f"a list of {len(structure)}")
    else:
        parts = list(structure)
    pairs = enumerate(zip(value, parts, strict=True))
    return next(filter(None, (find_problem(one, part, f"{where}[{i}]") for i, (one, part) in pairs)), "")


def _problem_of_dict(value: Any, structure: dict | MapOf, where: str) -> str:
    if not isinstance(value, dict):
        return _mismatch(where, value, "a dictionary")
    parts = dict.fromkeys(value, structure.structure) if isinstance(structure, MapOf) else structure
    missing = [key for key, part in parts.items() if key not in value and not isinstance(part, Maybe)]
    if missing:
        return f"{where or 'it'} has no {missing[0]}"
    below = f"{where}." if where else ""
    given = [(f"{below}{key}", value[key], part) for key, part in parts.items() if key in value]
    return next(filter(None, (find_problem(one, part, key) for key, one, part in given)), "")


def _mismatch(where: str, value: Any, description: str) -> str:
    return f"{where or 'it'} is {shortened(json.dumps(value), _SHOWN)}, should be {description}"
