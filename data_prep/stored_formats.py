"""Decides which encoded images are stored as they are: those that TensorFlow's decoders read exactly as Pillow does.

This module runs in worker processes, so it does not ask TensorFlow.
"""

import zlib

from PIL import Image

from vgg_keras.data import jpeg_segments

# The formats and Pillow's modes of which TensorFlow reads every sound image as Pillow does. It reads CMYK otherwise,
# and GIFs and BMPs of several kinds: transparent, with frames, with a palette, of 16 bits, compressed. An MPO is a JPEG
# with further ones behind it, as many phones write it.
_MODES = {
    "JPEG": ("RGB", "L"),
    "MPO": ("RGB", "L"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16B"),
}
# Baseline, extended and progressive. TensorFlow reads no lossless JPEG, and arithmetic coding in some builds alone.
_JPEG_PROCESSES = (0xC0, 0xC1, 0xC2)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bytes that are inflated at a time.
_PIECE = 1 << 20


def keeps_bytes(image: Image.Image, image_bytes: bytes, only_jpeg: bool) -> bool:
    """Returns whether an image is stored as it is.

    Args:
        image: the image as Pillow opened it.
        image_bytes: the encoded image.
        only_jpeg: whether only JPEGs are.
    """
    if image.mode not in _MODES.get(image.format or "", ()):
        return False
    if image.format == "PNG":
        return not only_jpeg and is_sound_png(image_bytes)
    return jpeg_segments.coding_process(image_bytes) in _JPEG_PROCESSES and jpeg_segments.is_complete(image_bytes)


def is_sound_png(content: bytes) -> bool:
    """Returns whether a PNG is complete and all its checksums are right; Pillow forgives more than TensorFlow does."""
    position, inflater = len(_PNG_SIGNATURE), zlib.decompressobj()
    while True:
        kind, data = content[position + 4 : position + 8], position + 8
        end = data + int.from_bytes(content[position : position + 4], "big")
        if len(content) < end + 4 or zlib.crc32(content[position + 4 : end]) != int.from_bytes(
            content[end : end + 4], "big"
        ):
            return False
        if kind == b"IEND":
            return inflater.eof
        if kind == b"IDAT" and not _inflates(inflater, content[data:end]):
            return False
        position = end + 4


def _inflates(inflater, data: bytes) -> bool:
    """Inflates data piece by piece, and returns whether it is sound."""
    try:
        while data and not inflater.eof:
            inflater.decompress(data, _PIECE)
            data = inflater.unconsumed_tail
    except zlib.error:
        return False
    return True
