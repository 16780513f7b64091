"""Makes photos whose EXIF data turn them, and puts metadata into encoded photos."""

import struct
import zlib

from PIL import Image

from tests.helpers.images import encode, picture

ORIENTATION, MAKER, RESOLUTION = 0x0112, 0x010F, 0x011A
# What is done to the upright pixels so that the orientation undoes it (EXIF 2.3, tag Orientation).
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def exif(orientation, endian="<"):
    """Returns EXIF data as Pillow writes them: a maker, the orientation, a resolution; "<": the lowest byte first."""
    data = Image.Exif()
    data.endian = endian
    data[ORIENTATION], data[MAKER], data[RESOLUTION] = orientation, "maker", 72.0
    return data.tobytes()


def turned_photo(orientation, upright=None, image_format="JPEG", endian="<", **arguments):
    """Encodes a picture as a camera that was turned does: the pixels as they lie, and the orientation beside them."""
    upright = picture(45, 28) if upright is None else upright
    stored = upright if STORED[orientation] is None else upright.transpose(STORED[orientation])
    return encode(stored, format=image_format, exif=exif(orientation, endian), **arguments)


def segment(marker, content):
    """Returns a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(*segments):
    """Returns a JPEG without metadata, of 24x16 pixels, with segments in front of its own."""
    jpeg = encode(picture(24, 16), format="JPEG")
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_chunk(name, content, *, at_end=False):
    """Returns a PNG of 24x16 pixels with a chunk behind its header, or behind its pixels."""
    png = encode(picture(24, 16), format="PNG")
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    at = len(png) - 12 if at_end else 8 + 25
    return png[:at] + chunk + png[at:]


def tiff(*entries, endian="<", header=None, rest=b""):
    """Returns EXIF data of a directory with entries of (tag, type, number of values, 4 bytes), put together by hand."""
    order = {"<": b"II", ">": b"MM"}[endian]
    header = header or order + struct.pack(endian + "HI", 42, 8)
    table = b"".join(struct.pack(endian + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return header + struct.pack(endian + "H", len(entries)) + table + bytes(4) + rest
