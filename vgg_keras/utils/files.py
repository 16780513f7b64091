"""Files that are complete or not there."""

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make a file under a temporary name with the same suffix, then renames it to `path`."""
    temporary = path.with_name(f".{path.stem}.incomplete{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, complete or not at all."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
