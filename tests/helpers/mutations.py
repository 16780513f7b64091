"""Damages the bytes of files at random and reproducibly, as disks, transfers, editors and attackers do."""

from collections.abc import Callable

import numpy as np

# Half of the damages are near the start, where most files have their header.
_HEADER = 512
_LONGEST_RANGE = 64
# Pieces of text that are valid where a value of another type is expected.
_PIECES = (b"null", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"true", b"9" * 400, b"\xff\xfe")
# Numbers on which the arithmetic of decoders breaks, in bytes: 0, the largest, and those beside a change of sign.
_EXTREMES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
)


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(min(len(content), _HEADER) if rng.random() < 0.5 else len(content)))


def _range(content: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = _place(content, rng)
    return start, min(len(content), start + int(rng.integers(1, _LONGEST_RANGE)))


def _flip_bit(content: bytes, rng: np.random.Generator) -> bytes:
    place = _place(content, rng)
    return content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))]


def _delete(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(content, rng)
    return content[:start] + content[end:]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(content, rng)
    return content[:end] + content[start:]


def _swap(content: bytes, rng: np.random.Generator) -> bytes:
    start, middle = _range(content, rng)
    end = min(len(content), middle + int(rng.integers(1, _LONGEST_RANGE)))
    return content[:start] + content[middle:end] + content[start:middle] + content[end:]


def _zero(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(content, rng)
    return content[:start] + bytes(end - start) + content[end:]


def _randomize(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(content, rng)
    return content[:start] + rng.bytes(end - start) + content[end:]


def _insert_random(content: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(content, rng)
    return content[:start] + rng.bytes(end - start) + content[start:]


def _set_extreme(content: bytes, rng: np.random.Generator) -> bytes:
    start, extreme = _place(content, rng), _EXTREMES[rng.integers(len(_EXTREMES))]
    return content[:start] + extreme + content[start + len(extreme) :]


def _insert_piece(content: bytes, rng: np.random.Generator) -> bytes:
    place = _place(content, rng)
    return content[:place] + _PIECES[rng.integers(len(_PIECES))] + content[place:]


def _replace_token(content: bytes, rng: np.random.Generator) -> bytes:
    """Replaces the text between two separators of JSON, such as a number, by another value."""
    separators = [index for index, byte in enumerate(content) if byte in b":,[]{}\n"]
    if len(separators) < 2:
        return _insert_piece(content, rng)
    chosen = int(rng.integers(len(separators) - 1))
    first, last = separators[chosen] + 1, separators[chosen + 1]
    return content[:first] + _PIECES[rng.integers(len(_PIECES))] + content[last:]


def _replace_all(content: bytes, rng: np.random.Generator) -> bytes:
    others = (b"", *_PIECES, rng.bytes(64), b"[" * 100_000)
    return others[rng.integers(len(others))]


_KINDS: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip_bit,
    _cut,
    _delete,
    _repeat,
    _swap,
    _zero,
    _randomize,
    _insert_random,
    _set_extreme,
    _insert_piece,
    _replace_token,
    _replace_token,
    _replace_all,
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns content that was damaged in one to three ways, drawn at random; by chance it may be unchanged.

    Args:
        content: the bytes of a whole file.
        rng: source of randomness, from which the damage follows.
    """
    for _ in range(int(rng.integers(1, 4))):
        content = _KINDS[rng.integers(len(_KINDS))](content, rng) if content else rng.bytes(16)
    return content
