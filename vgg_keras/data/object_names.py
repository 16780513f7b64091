"""Names the records that are of one object in a photo each, after the photo and the object's number."""

_MARK = "#"


def object_name(photo: str, number: int) -> str:
    """Returns the name of the record of an object.

    >>> object_name("2010_006215.jpg", 2)
    '2010_006215.jpg#2'

    Args:
        photo: name of the photo.
        number: number of the object in the photo's annotation; the first one is 1.
    """
    return f"{photo}{_MARK}{number}"


def split_name(name: str) -> tuple[str, int]:
    """Returns the name of the photo and the number of the object; the inverse of `object_name`.

    Raises:
        ValueError: the name is none that `object_name` returns.
    """
    photo, mark, number = name.rpartition(_MARK)
    if not mark or not number.isdecimal():
        raise ValueError(f"{name!r} does not end in {_MARK} and the number of an object")
    return photo, int(number)
