"""Integer arithmetic."""


def ceil_divide(dividend: int, divisor: int) -> int:
    """Returns the quotient of two integers, rounded up, exact at any size."""
    return -(-dividend // divisor)
