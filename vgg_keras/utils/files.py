"""Writes files atomically: a reader finds a complete file or none, even after a crash."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name with the same suffix, then renames it to `path`.

    Args:
        path: the file; an existing one is replaced.
        write: function that writes the content to the path that it is given; its errors are passed on.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.incomplete{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file, complete or not at all."""
    write_atomically(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, complete or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
