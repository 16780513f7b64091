"""Writes records as TensorFlow reads them, without TensorFlow: examples as protocol buffers, framed as TFRecords.

A worker process that need not load TensorFlow starts in a fraction of the time and of the memory. The fields of an
example stand in alphabetical order, so that equal images give equal bytes. (The protobuf library keeps the order of a
hash table, which changes with each process.)
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from vgg_keras.data.tfrecord_frames import LENGTH

# Values of a feature: one of bytes, integers, or (N,) float32.
Values = bytes | Sequence[int] | np.ndarray

# Castagnoli's polynomial with reversed bits.
_POLYNOMIAL = 0x82F63B78
# Exponents of x^5685 + x^1362 + x^426 + x^0, a multiple of that polynomial. There are multiples of four terms from
# degree 5275 on; of all below degree 6000, this one has the widest gap behind its first term.
_SPARSE_MULTIPLE = (5685, 1362, 426, 0)
# Bytes of a block of the vectorised checksum.
_BLOCK = 512
# Bytes up to which a loop over the bytes is faster.
_SHORT = 32
# Lengths of the values that need one, two, ... bytes as a varint end before these.
_VARINT_ENDS = np.array([1 << 7 * count for count in range(1, 9)], np.int64)


@functools.cache
def _tables() -> np.ndarray:
    """Returns the (BLOCK, 256) uint32 contribution of each byte value at each position of a block to its checksum."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ np.uint32(_POLYNOMIAL), values >> 1)
    tables = [values]
    for _ in range(_BLOCK - 1):  # one more byte of zeros behind the value
        tables.append(values[tables[-1] & 0xFF] ^ tables[-1] >> 8)
    return np.stack(tables[::-1])


@functools.cache
def _short_tables() -> tuple[list[int], ...]:
    """Returns the tables of the first four bytes of a block and of its last one, as lists, which are faster singly."""
    tables = _tables()
    return tuple(tables[position].tolist() for position in (0, 1, 2, 3, -1))


def _fold(data: np.ndarray) -> np.ndarray:
    """Returns the end of some bytes, into which what stands before it was added without a change of the remainder.

    A CRC is the remainder of a division by its polynomial P, in which the first byte has the highest powers of x. Each
    multiple M of P leaves the remainder 0, and so does M(x)^8 = M(x^8), whose exponents count whole bytes. So a byte
    may be taken away where it stands if it is added (by XOR) at the places of the other terms of M, which lie behind
    it. Bytes up to the second term's place can be moved together, since none of them lands on another.

    Args:
        data: (N,) uint8, which is changed.
    """
    length, *others = _SPARSE_MULTIPLE
    end = len(data) - length
    if end <= 0:
        return data
    together = length - others[0]
    for start in range(0, end, together):
        moved = data[start : min(start + together, end)]
        for exponent in others:
            place = start + length - exponent
            data[place : place + len(moved)] ^= moved
    return data[end:]


def crc32c(data: bytes) -> int:
    """Returns the CRC-32C (Castagnoli) of some bytes.

    The checksum is linear, so that the contributions of all bytes of a block are looked up at once and joined by XOR.
    """
    first, second, third, fourth, last = _short_tables()
    if len(data) < _SHORT:
        state = 0xFFFFFFFF
        for byte in data:
            state = last[(state ^ byte) & 0xFF] ^ state >> 8
        return state ^ 0xFFFFFFFF
    # The initial state moves into the first four bytes.
    content = np.frombuffer(data, np.uint8).copy()
    content[:4] ^= 0xFF
    content = _fold(content)
    # Zeros in front change nothing as long as the state is 0.
    padded = np.zeros(-(-len(content) // _BLOCK) * _BLOCK, np.uint8)
    padded[-len(content) :] = content
    contributions = _tables().reshape(-1).take(padded.reshape(-1, _BLOCK) + 256 * np.arange(_BLOCK))
    state = 0
    for value in np.bitwise_xor.reduce(contributions, axis=1).tolist():
        carried = first[state & 0xFF] ^ second[state >> 8 & 0xFF] ^ third[state >> 16 & 0xFF] ^ fourth[state >> 24]
        state = carried ^ value
    return state ^ 0xFFFFFFFF


def _masked_checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def frame(record: bytes) -> bytes:
    """Returns a record as it stands in a TFRecord file: its length, that one's checksum, the record, its checksum."""
    length = LENGTH.pack(len(record))
    return b"".join((length, _masked_checksum(length), record, _masked_checksum(record)))


def _varint(value: int) -> bytes:
    """Returns a protocol buffer's integer: seven bits a byte, the lowest first; negative ones as 64 bits."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, content: bytes) -> bytes:
    """Returns a protocol buffer's field with a length in front."""
    return b"".join((bytes([number << 3 | 2]), _varint(len(content)), content))


def _feature(name: bytes, kind: int, values: bytes) -> bytes:
    """Returns an entry of the map of features; the kind is the number of the list's field in `tf.train.Feature`."""
    return _field(1, _field(1, name) + _field(2, _field(kind, values)))


def _encoded(values: Values) -> tuple[int, bytes]:
    """Returns the kind of a feature's list and its content; an empty list of numbers has no content."""
    if isinstance(values, bytes):
        return 1, _field(1, values)
    if isinstance(values, np.ndarray):
        kind, packed = 2, values.astype("<f4").tobytes()
    else:
        kind, packed = 3, b"".join(map(_varint, values))
    return kind, _field(1, packed) if packed else b""


def example(features: Mapping[str, Values]) -> bytes:
    """Returns a serialized `tf.train.Example`.

    Args:
        features: the values of each feature by its name: bytes, which are one value, integers, or (N,) float32.
    """
    return _field(1, b"".join(_feature(name.encode(), *_encoded(features[name])) for name in sorted(features)))


def _field_sizes(content: np.ndarray) -> np.ndarray:
    return 1 + _varint_sizes(content) + content


def _varint_sizes(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, 10, np.searchsorted(_VARINT_ENDS, values, side="right") + 1)


def example_sizes(image_sizes: np.ndarray, labels: np.ndarray, name_sizes: np.ndarray) -> np.ndarray:
    """Returns the lengths of examples with the features "file_name", "image" and "label".

    Objects, and several labels, need a few bytes more, which decide on nothing.

    Args:
        image_sizes: (N,) int64, bytes of the encoded images.
        labels: (N,) int, class indices, or -1.
        name_sizes: (N,) int64, bytes of the names in UTF-8.

    Returns:
        (N,) int64, bytes of the serialized examples, without their frames.
    """
    contents = {b"file_name": name_sizes, b"image": image_sizes, b"label": _varint_sizes(labels)}
    total = np.zeros(len(labels), np.int64)
    for name, content in contents.items():
        feature = _field_sizes(_field_sizes(content.astype(np.int64)))
        total += _field_sizes(2 + len(name) + _field_sizes(feature))
    return _field_sizes(total)
