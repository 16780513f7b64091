"""Divides integers exactly, and reads numbers that are written as text."""

import contextlib
import re

# More digits than a count, a port or a version has, and few enough for 64 bits.
_WHOLE = re.compile("[0-9]{1,18}")


def ceil_divide(dividend: int, divisor: int) -> int:
    """Returns the quotient of two integers rounded up, exact for integers of any size."""
    return -(-dividend // divisor)


def parse_whole(text: str) -> int | None:
    """Returns the whole number that a text of up to 18 decimal digits writes, or None for any other text.

    `str.isdigit` takes characters for digits that `int` refuses, and `int` refuses thousands of digits.

    >>> parse_whole("08"), parse_whole("-1"), parse_whole("\N{SUPERSCRIPT TWO}")
    (8, None, None)
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def parse_number(text: str) -> int | float | None:
    """Returns the number that a text writes, whole if it has neither point nor exponent; None for any other text.

    `int` and `float` skip underscores, so that "0_5", a mistyped 0.5, would be 5.

    >>> parse_number("5"), parse_number("0.5"), parse_number("0_5")
    (5, 0.5, None)
    """
    if "_" in text:
        return None
    for convert in (int, float):
        with contextlib.suppress(ValueError):
            return convert(text)
    return None
