"""Words numbers for messages, tables and reports."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a count with the thing that is counted.

    >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
    ('1 image', '1,200 images', '2 classes')

    Args:
        count: the count.
        noun: name of one thing.
        plural: name of several; "": the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def rate(per_second: float) -> str:
    """Returns a number for each second with a tenth, or, of a slow one, with its first two digits.

    >>> rate(1234.56), rate(0.0312), rate(0)
    ('1,234.6', '0.031', '0.0')
    """
    return f"{per_second:,.1f}" if per_second >= 1 or not per_second else f"{per_second:.2g}"
