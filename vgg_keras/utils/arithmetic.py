"""Divides integers exactly, and reads whole numbers that are written as text."""

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
