"""Reads how a camera was held from an encoded photo, and turns the photo upright, as TensorFlow ops.

A phone stores the pixels as its sensor lies, and the orientation beside them: in the EXIF data (tag 0x0112), or where
these have none, in the XMP data. The same places count as for `predict`, which asks Pillow, so that a served model
answers as `predict` does. Metadata come from strangers: whatever they hold, reading them raises no error, and takes a
bounded number of steps.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

UPRIGHT = 1
# How the stored pixels become upright, for each orientation (row 0 is unused): whether the rows and the columns are
# reversed, and then the order of the axes (EXIF 2.3, tag Orientation).
_REVERSED = (
    (False, False),
    (False, False),
    (False, True),
    (True, True),
    (True, False),
    (False, False),
    (True, False),
    (True, True),
    (False, True),
)
_AXES = ((0, 1, 2),) * 5 + ((1, 0, 2),) * 4

# Number of segments or chunks after which the search ends: a file of small ones could keep a server busy for minutes.
# PNG's usual chunks of 8 KiB make 32 MiB, and the metadata of cameras stand in the first few segments.
MOST_PARTS = 4096
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_XMP_OF_PNG = b"XML:com.adobe.xmp\0\0"  # the second 0: not compressed
# As many bytes as a segment of a JPEG may have; a PNG could hold many megabytes, which would take seconds to search.
_MOST_XMP = 65_535
# The first orientation in XMP data, an attribute or an element.
_ORIENTATION_IN_XMP = r"^\C*?tiff:Orientation(?:=\"|>)([0-9])\C*$"

# Markers of JPEG that no length follows: TEM, and RST0 to EOI; and the ones that are looked at.
_ALONE = (0x01, *range(0xD0, 0xDA))
_START_OF_SCAN, _APP1, _FILL = 0xDA, 0xE1, 0xFF

_TIFF_HEADERS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0")
_ENTRY = 12  # bytes of an entry: tag, type, number of values, and the values or their position
_ORIENTATION = 0x0112
# Bytes of a value of each TIFF type, and which types are integers that Pillow gives as numbers.
_SIZE_OF_TYPE = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0)
_WIDTH_OF_INTEGER = (0, 0, 0, 2, 4, 0, 1, 0, 2, 4, 0, 0, 0, 4, 0, 0, 8, 0)
_LONGEST_INTEGER = 8


class _Part(NamedTuple):
    """A segment of a JPEG, or a chunk of a PNG.

    Attributes:
        exif: () bool, whether it holds EXIF data.
        xmp: () bool, whether it holds XMP data.
        span: (2,) int32, where these data begin and end.
        next: () int32, position of the next part; that of the file's end if none is to be read.
    """

    exif: tf.Tensor
    xmp: tf.Tensor
    span: tf.Tensor
    next: tf.Tensor


def read(image_bytes: tf.Tensor) -> tf.Tensor:
    """Reads the orientation of an encoded image.

    Args:
        image_bytes: () string; any bytes.

    Returns:
        () int32 from 1 to 8, as EXIF numbers them; 1, upright, for a file that is neither JPEG nor PNG, and where the
        metadata tell none, or are damaged before they do.
    """
    return _read(image_bytes) if tf.executing_eagerly() else _one_operation(image_bytes)


def stored_axes_reversed(orientation: tf.Tensor) -> tf.Tensor:
    """Returns whether the stored rows and columns run against those of the upright image: () int32 -> (2,) bool."""
    return tf.gather(tf.constant(_REVERSED), orientation)


def turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns stored pixels upright.

    Args:
        image: (H, W, C), any dtype.
        orientation: () int32, 1 to 8.

    Returns:
        (H, W, C) or (W, H, C), dtype unchanged.
    """

    def turned() -> tf.Tensor:
        axes = tf.boolean_mask(tf.range(2), stored_axes_reversed(orientation))
        return tf.transpose(tf.reverse(image, axes), tf.gather(tf.constant(_AXES), orientation))

    upright = tf.cond(orientation == UPRIGHT, lambda: tf.identity(image), turned)
    return tf.ensure_shape(upright, (None, None, image.shape[-1]))


def _read(image_bytes: tf.Tensor) -> tf.Tensor:
    def search(read_part: Callable[[tf.Tensor, tf.Tensor], _Part], start: int) -> tf.Tensor:
        return _orientation(*_find_metadata(image_bytes, read_part, start))

    signature = tf.strings.substr(image_bytes, 0, len(_PNG_SIGNATURE))
    return tf.case(
        [
            (tf.io.is_jpeg(image_bytes), lambda: search(_read_segment, 2)),
            (signature == _PNG_SIGNATURE, lambda: search(_read_chunk, len(_PNG_SIGNATURE))),
        ],
        default=lambda: tf.constant(UPRIGHT),
    )


# One operation in the graph that calls it; see `transforms.decode`.
_one_operation = tf.function(
    _read, (tf.TensorSpec((), tf.string),), autograph=False, experimental_attributes={"_noinline": True}
)


def _find_metadata(
    image_bytes: tf.Tensor, read_part: Callable[[tf.Tensor, tf.Tensor], _Part], start: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks the parts of a file, and returns its first EXIF data and its last XMP data, () string each, or ""."""
    length = tf.strings.length(image_bytes)

    def step(number: tf.Tensor, position: tf.Tensor, exif: tf.Tensor, xmp: tf.Tensor) -> tuple[tf.Tensor, ...]:
        part = read_part(image_bytes, position)
        is_whole = (part.span[0] <= part.span[1]) & (part.span[1] <= length)
        is_first = tf.reduce_all(exif == 0)
        exif = tf.where(part.exif & is_whole & is_first, part.span, exif)
        return number + 1, part.next, exif, tf.where(part.xmp & is_whole, part.span, xmp)

    nowhere = tf.zeros(2, tf.int32)
    _, _, exif, xmp = tf.while_loop(
        # A position that overflowed is negative.
        lambda number, position, *_: (number < MOST_PARTS) & (position >= 0) & (position <= length - 8),
        step,
        (tf.constant(0), tf.constant(start), nowhere, nowhere),
    )
    return tuple(tf.strings.substr(image_bytes, span[0], span[1] - span[0]) for span in (exif, xmp))


def _read_segment(image_bytes: tf.Tensor, position: tf.Tensor) -> _Part:
    """Reads the head of a JPEG's segment; what is none is skipped byte by byte, as Pillow and libjpeg do."""
    head = tf.cast(_bytes(tf.strings.substr(image_bytes, position, 4), 4), tf.int32)
    text = tf.strings.substr(image_bytes, position + 4, len(_XMP))
    marker, end = head[1], position + 2 + 256 * head[2] + head[3]
    is_junk = (head[0] != 0xFF) | (marker == _FILL) | (marker == 0)
    is_alone = tf.reduce_any(marker == tf.constant(_ALONE))
    after = tf.where(is_junk, position + 1, tf.where(is_alone, position + 2, end))
    is_app1 = ~is_junk & (marker == _APP1)
    is_exif, is_xmp = (is_app1 & (tf.strings.substr(text, 0, len(name)) == name) for name in (_EXIF, _XMP))
    start = position + 4 + tf.where(is_exif, len(_EXIF), len(_XMP))
    ends = ~is_junk & (marker == _START_OF_SCAN)
    return _Part(is_exif, is_xmp, tf.stack([start, end]), tf.where(ends, tf.int32.max, after))


def _read_chunk(image_bytes: tf.Tensor, position: tf.Tensor) -> _Part:
    """Reads the head of a PNG's chunk, whose data stand between its length and name, and a checksum of 4 bytes."""
    head = _bytes(tf.strings.substr(image_bytes, position, 4), 4)
    name = tf.strings.substr(image_bytes, position + 4, 4)
    start = position + 8
    # Up to 2**31 - 1, beyond which no chunk may be; a longer one ends the search.
    end = tf.cast(tf.minimum(tf.cast(start, tf.int64) + _number(head, little=False), tf.int32.max - 4), tf.int32)
    text = tf.strings.substr(image_bytes, start, len(_XMP_OF_PNG))
    is_xmp = (name == b"iTXt") & (text == _XMP_OF_PNG)
    return _Part(name == b"eXIf", is_xmp, tf.stack([start, end]), end + 4)


def _orientation(exif: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
    """Returns the orientation of EXIF data, or where they have none that of XMP data; 1 if it is no known one."""
    repeated = tf.strings.substr(exif, 0, len(_EXIF)) == _EXIF  # some programs write the name twice
    content = tf.strings.substr(exif, tf.where(repeated, len(_EXIF), 0), tf.strings.length(exif))
    found = _of_tiff(content)
    xmp = tf.strings.substr(xmp, 0, _MOST_XMP)
    digit = tf.strings.regex_replace(xmp, _ORIENTATION_IN_XMP, r"\1")
    is_digit = (tf.strings.length(digit) == 1) & (tf.strings.length(xmp) > 1)
    of_xmp = tf.strings.to_number(tf.where(is_digit, digit, b"1"), tf.int64)
    orientation = tf.where(found == 0, of_xmp, found)
    is_known = (orientation >= UPRIGHT) & (orientation < len(_AXES))
    return tf.where(is_known, tf.cast(orientation, tf.int32), UPRIGHT)


def _of_tiff(content: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of EXIF data, () string, as () int64; 0 if it has none.

    As in Pillow, an entry with more values than the data could hold is skipped, the search ends at one whose values lie
    beyond their end, and the first of several orientations counts.
    """
    header = tf.strings.substr(content, 0, 4)
    is_tiff = tf.reduce_any(header == tf.constant(_TIFF_HEADERS))
    little = tf.strings.substr(header, 0, 1) == b"I"
    data, length = tf.io.decode_raw(content + bytes(16), tf.uint8), tf.cast(tf.strings.length(content), tf.int64)
    directory = tf.minimum(_number(data[4:8], little), length)
    first = directory + 2
    count = tf.minimum(_number(data[directory:first], little), (length - first) // _ENTRY)
    entries = tf.reshape(data[first : first + _ENTRY * tf.maximum(count, 0)], (-1, _ENTRY))
    entries = tf.concat([entries, tf.zeros((1, _ENTRY), tf.uint8)], axis=0)  # not empty, for `argmax`

    tag, kind, values, place = (_number(entries[:, a:b], little) for a, b in ((0, 2), (2, 4), (4, 8), (8, 12)))
    kind = tf.minimum(kind, len(_SIZE_OF_TYPE) - 1)
    size = values * tf.gather(tf.constant(_SIZE_OF_TYPE, tf.int64), kind)
    is_apart = size > 4
    is_skipped = is_apart & (tf.cumsum(tf.where(is_apart, size, 0)) > length)
    is_lost = is_apart & ~is_skipped & (place + size > length)
    is_reached = (tf.cumsum(tf.cast(is_lost, tf.int32)) == 0) & ~is_skipped
    is_orientation = is_reached & (tag == _ORIENTATION) & (size > 0)

    index = tf.argmax(is_orientation)
    width = tf.gather(tf.constant(_WIDTH_OF_INTEGER, tf.int64), kind[index])
    start = tf.where(is_apart[index], place[index], first + _ENTRY * index + 8)
    value = _number(data[start : start + width], little)
    # What is there and no known orientation is upright, and what stands in the XMP data does not count.
    none, upright = (tf.constant(number, tf.int64) for number in (0, UPRIGHT))
    found = tf.where(is_orientation[index], tf.where(value == 0, upright, value), none)
    return tf.where(length == 0, none, tf.where(is_tiff, found, upright))


def _bytes(text: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the bytes of a string of `count` bytes, (count,) uint8."""
    return tf.ensure_shape(tf.io.decode_raw(text, tf.uint8), (count,))


def _number(digits: tf.Tensor, little: tf.Tensor | bool) -> tf.Tensor:
    """Returns numbers given their bytes: (..., n) uint8, n <= 8 -> (...) int64.

    Args:
        digits: the bytes.
        little: () bool, whether the lowest comes first.
    """
    digits = tf.cast(digits, tf.int64)
    count = tf.shape(digits)[-1]
    exponents = tf.where(little, tf.range(count), tf.range(count - 1, -1, -1))
    powers = tf.constant([1 << (8 * index) for index in range(_LONGEST_INTEGER)], tf.int64)
    return tf.reduce_sum(digits * tf.gather(powers, exponents), axis=-1)
