"""Reads the small files beside images and weights; a damaged one is refused with one line that names it.

The structure that a file should have is an argument of each reader of JSON, so that no caller can forget to check it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_text
from vgg_keras.utils.structures import Structure, find_problem

# Larger than any file that the package writes and reads as a whole; the largest ones hold some megabytes.
_MAX_BYTES = 256 << 20
_CHECKSUM = "checksum"


def damaged(path: Path | str, problem: str, way_out: str) -> UserError:
    """Returns the error about a damaged file.

    Args:
        path: the file, or the file and the part of it.
        problem: what is wrong with it.
        way_out: what the user can do, such as "train again".
    """
    return UserError(f"{path} is damaged: {problem}; {way_out}")


def _read_bytes(path: Path, way_out: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise damaged(path, f"it is {'a folder' if path.is_dir() else 'no regular file'}", way_out)
        if path.stat().st_size > _MAX_BYTES:
            raise damaged(path, f"it has {path.stat().st_size:,} bytes, far more than such a file can have", way_out)
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is missing; {way_out}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; {way_out}") from error


def _decode(content: bytes, name: Path | str, way_out: str) -> str:
    try:
        # Editors of Windows write a byte order mark, which this encoding drops.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise damaged(name, f"it is not UTF-8 text, at byte {error.start}", way_out) from error


def read_text(path: Path, way_out: str) -> str:
    """Reads a text file in UTF-8.

    Args:
        path: the file.
        way_out: what the user can do if it cannot be read; the end of the message.

    Raises:
        UserError: the file is missing, unreadable, a folder, far too large, or not UTF-8.
    """
    return _decode(_read_bytes(path, way_out), path, way_out)


def read_names(path: Path, way_out: str) -> list[str]:
    """Reads a file with a name in each line.

    Raises:
        UserError: the file cannot be read, or a line is blank.
    """
    # Not splitlines, which also splits at characters that may stand in a name, such as U+2028.
    text = read_text(path, way_out).rstrip("\r\n")
    names = [line.removesuffix("\r") for line in text.split("\n")] if text else []
    blank = next((number for number, name in enumerate(names, start=1) if not name.strip()), None)
    if blank:
        raise damaged(path, f"line {blank} holds no name", way_out)
    return names


def parse_json(text: str, structure: Structure, name: Path | str, way_out: str) -> Any:
    """Parses a JSON text and checks its structure, and its checksum if `write_json` gave it one.

    Args:
        text: the text.
        structure: the structure that its content should have.
        name: where the text is from, for messages.
        way_out: what the user can do if it is damaged; the end of the message.

    Raises:
        UserError: the text is no JSON, or has another structure or checksum.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        about = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise damaged(name, f"it is no JSON ({about})" if text.strip() else "it is empty", way_out) from error
    if isinstance(content, dict) and _has_checksum(content, structure):
        stored = content.pop(_CHECKSUM, None)
        if stored != checksum(content):
            raise damaged(name, f"its content does not have its {_CHECKSUM}", way_out)
    problem = find_problem(content, structure)
    if problem:
        raise damaged(name, problem, way_out)
    return content


def _has_checksum(content: dict[str, Any], structure: Structure) -> bool:
    """Returns whether `write_json` wrote a content, also if the key of the checksum, the last one, is damaged."""
    last, value = next(reversed(content.items()), ("", None))
    is_digest = isinstance(value, str) and len(value) == len(checksum(0))
    return _CHECKSUM in content or (is_digest and isinstance(structure, dict) and last not in structure)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key appears twice")
    return content


def read_json(path: Path, structure: Structure, way_out: str) -> Any:
    """Reads a JSON file.

    Args:
        path: the file.
        structure: the structure that its content should have.
        way_out: what the user can do if it cannot be read; the end of the message.

    Raises:
        UserError: the file cannot be read, is no JSON, or has another structure or checksum.
    """
    return parse_json(read_text(path, way_out), structure, path, way_out)


def checksum(content: Any) -> str:
    """Returns the SHA-256 of JSON-ready content in hexadecimal digits, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, complete or not at all, with a checksum by which `read_json` notices later damage.

    Raises:
        OSError: the file cannot be written.
    """
    # As it will be read: JSON turns keys into texts and tuples into lists.
    content = json.loads(json.dumps(content))
    write_text(path, json.dumps({**content, _CHECKSUM: checksum(content)}, indent=2) + "\n")


def read_json_lines(path: Path, structure: Structure, way_out: str) -> list[Any]:
    """Reads a file with a JSON text in each line; a last line without its end, which a kill leaves, is dropped.

    Args:
        path: the file.
        structure: the structure of each line.
        way_out: what the user can do if it cannot be read; the end of the message.

    Raises:
        UserError: the file cannot be read, or a line is damaged.
    """
    lines = _read_bytes(path, way_out).split(b"\n")[:-1]
    names = [f"{path}, line {index}," for index in range(1, len(lines) + 1)]
    return [
        parse_json(_decode(line, name, way_out), structure, name, way_out)
        for line, name in zip(lines, names, strict=True)
    ]
