"""Walks the segments of a JPEG's header, which tell how it is coded and hold its metadata."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_START_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xDA
# Markers that no length follows: TEM, and RST0 to EOI.
_ALONE = {0x01, *range(0xD0, 0xDA)}
# SOF0 to SOF15, without DHT, JPG and DAC, which stand between them (ITU-T T.81, table B.1).
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Segments that decoding needs: APP0 (JFIF) and APP14 (Adobe) tell the colour space; the other APPn and comments do not.
_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}

# Inside coded data a byte 0xFF is followed by 0, or by RST0 to RST7; anything else is the next marker, which more bytes
# 0xFF may pad. The pattern matches only the last of them: with `\xff+`, `re` would try each start of a long run of them
# up to its end, in quadratic time. A pattern that opens with one literal byte also lets it leap from one to the next.
_MARKER_IN_DATA = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END_OF_IMAGE = 0xD9
# Segments that may stand between the scans of a photo: tables, scans, restart intervals, metadata.
_BETWEEN_SCANS = {0xC4, 0xDA, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}


class Segment(NamedTuple):
    """A segment of a JPEG's header.

    Attributes:
        marker: second byte of its marker, which tells its kind.
        start: index of its marker in the file.
        end: index of the byte after it.
    """

    marker: int
    start: int
    end: int


def segments(content: bytes) -> Iterator[Segment]:
    """Yields the segments of an encoded JPEG up to the first scan; ends early where the bytes are no JPEG."""
    position = 0
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # a byte of padding
            position += 1
            continue
        alone = marker in _ALONE
        end = position + 2 + (0 if alone else int.from_bytes(content[position + 2 : position + 4], "big"))
        yield Segment(marker, position, end)
        if marker == _START_OF_SCAN:
            return
        position = end


def coding_process(content: bytes) -> int | None:
    """Returns the marker of a JPEG's frame: 0xC0 baseline, 0xC1 extended, 0xC2 progressive, others rare; or None."""
    return next((segment.marker for segment in segments(content) if segment.marker in _START_OF_FRAME), None)


def is_complete(content: bytes) -> bool:
    """Returns whether a JPEG has one marker after the other up to the one of its end, and none that is out of place."""
    found = list(segments(content))
    if not found or found[-1].marker != _START_OF_SCAN:
        return False
    position = found[-1].end
    while match := _MARKER_IN_DATA.search(content, position):
        marker, position = content[match.end() - 1], match.end()
        if marker not in _BETWEEN_SCANS:
            return marker == _END_OF_IMAGE
        position += int.from_bytes(content[position : position + 2], "big")
    return False


def without_metadata(content: bytes) -> bytes:
    """Returns a JPEG without its EXIF, its colour profile, its comments and the like; any other bytes unchanged."""
    if content[:2] != bytes([0xFF, _START_OF_IMAGE]):
        return content
    kept, position = [], 0
    for segment in segments(content):
        if segment.marker in _METADATA:
            kept.append(content[position : segment.start])
            position = segment.end
    return b"".join([*kept, content[position:]])
