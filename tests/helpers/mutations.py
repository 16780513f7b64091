"""Damages the bytes of files at random, as disks, transfers and editors do."""

from collections.abc import Callable

import numpy as np

# Pieces of text that are valid where a value of another type is expected.
_PIECES = (b"null", b"[]", b"{}", b'""', b"0", b"-1", b"1e999", b"NaN", b"Infinity", b"true", b"9" * 400, b"\xff\xfe")


def _flip_bits(content: bytearray, rng: np.random.Generator) -> bytes:
    for position in rng.integers(len(content), size=rng.integers(1, 5)):
        content[position] ^= 1 << int(rng.integers(8))
    return bytes(content)


def _cut(content: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(content[: rng.integers(len(content))])


def _delete(content: bytearray, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return bytes(content[:first] + content[last:])


def _repeat(content: bytearray, rng: np.random.Generator) -> bytes:
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return bytes(content[:last] + content[first:])


def _zero(content: bytearray, rng: np.random.Generator) -> bytes:
    first = int(rng.integers(len(content)))
    last = min(len(content), first + 512)
    return bytes(content[:first] + bytes(last - first) + content[last:])


def _insert_piece(content: bytearray, rng: np.random.Generator) -> bytes:
    position = int(rng.integers(len(content) + 1))
    return bytes(content[:position] + _PIECES[rng.integers(len(_PIECES))] + content[position:])


def _replace_token(content: bytearray, rng: np.random.Generator) -> bytes:
    """Replaces the text between two separators of JSON, such as a number, by another value."""
    separators = [index for index, byte in enumerate(content) if byte in b":,[]{}\n"]
    if len(separators) < 2:
        return _insert_piece(content, rng)
    chosen = int(rng.integers(len(separators) - 1))
    first, last = separators[chosen] + 1, separators[chosen + 1]
    return bytes(content[:first] + _PIECES[rng.integers(len(_PIECES))] + content[last:])


def _replace_all(content: bytearray, rng: np.random.Generator) -> bytes:
    return (b"", *_PIECES, rng.bytes(64), b"[" * 100_000)[rng.integers(len(_PIECES) + 3)]


_KINDS: tuple[Callable[[bytearray, np.random.Generator], bytes], ...] = (
    _flip_bits,
    _cut,
    _delete,
    _repeat,
    _zero,
    _insert_piece,
    _replace_token,
    _replace_token,
    _replace_all,
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns content that was damaged in one of several ways: bits, cuts, other values, zeros, or all of it.

    Args:
        content: the bytes of a whole file.
        rng: source of randomness, from which the damage follows.
    """
    if not content:
        return rng.bytes(16)
    return _KINDS[rng.integers(len(_KINDS))](bytearray(content), rng)
