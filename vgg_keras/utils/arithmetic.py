"""Divides integers exactly."""


def ceil_divide(dividend: int, divisor: int) -> int:
    """Returns the quotient of two integers rounded up, exact for integers of any size."""
    return -(-dividend // divisor)
