"""Decodes photos of any format that Pillow reads, upright and as RGB, and turns all of Pillow's errors into one.

Worker processes use this module, so it imports no TensorFlow.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from vgg_keras.data import decoding_memory, jpeg_segments

_ORIENTATION = 0x0112  # EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE = 258  # TIFF
# Longest side in pixels of an image that TensorFlow decodes: libpng's limit (PNG_USER_WIDTH_MAX), which TensorFlow does
# not raise. Those of JPEG (65,500) and GIF (65,535) are lower, and hold for Pillow too; TensorFlow's limit of 2**29
# pixels lies above Pillow's.
MAX_SIDE = 1_000_000
# Formats whose levels are 16 bits wide where Pillow's mode is "I", 32-bit integers.
_SIXTEEN_BITS_IN_I = ("PNG", "PPM")
# Errors whose message tells a user what is wrong; of others, such as a KeyError, the class is told too.
_READABLE_ERRORS = (OSError, SyntaxError, ValueError)
# `warnings.catch_warnings` changes the filters of all threads, so one thread at a time may use it.
_warnings_lock = threading.Lock()


class BadImage(Exception):
    """Error about an image that cannot be used; its message is the reason."""


@contextlib.contextmanager
def pillow_errors() -> Iterator[None]:
    """Turns every error inside the context into a `BadImage`.

    Pillow's plugins let errors of nearly any class out on damaged files: struct.error, KeyError, OverflowError and
    others. All of them mean that the image is bad, so the context must hold nothing but calls of Pillow and NumPy.

    Raises:
        BadImage: there was an error.
    """
    try:
        yield
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage("not an image in a format that Pillow reads") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        allowed = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise BadImage(f"has more than the {allowed:.3g} million pixels that Pillow allows; shrink it") from error
    except MemoryError as error:
        raise BadImage("needs more memory than there is; shrink it") from error
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        known = first_line and isinstance(error, _READABLE_ERRORS)
        raise BadImage(first_line if known else f"damaged ({type(error).__name__}: {first_line})") from error


@contextlib.contextmanager
def opened(image_bytes: bytes) -> Iterator[Image.Image]:
    """Opens and decodes an image of any format that Pillow reads, or the first frame of an animation.

    A photo whose metadata alone are damaged is opened without them. Inside the context the memory of the image is
    reserved (see `decoding_memory`), and errors become a `BadImage` too.

    Raises:
        BadImage: the bytes are empty, truncated or not an image, the image has more pixels than Pillow allows, or a
            side is longer than MAX_SIDE.
    """
    if not image_bytes:
        raise BadImage("empty file")
    with (
        pillow_errors(),
        _identified(image_bytes) as image,
        decoding_memory.reserved(image.width * image.height),
    ):
        if image.format == "EPS":
            raise BadImage("an EPS file is a program, which only Ghostscript could draw")
        check_sides(image.size, MAX_SIDE, "TensorFlow decodes images")
        image.load()
        yield image


def check_sides(size: tuple[int, int], limit: int, who: str) -> None:
    """Refuses an image with a side that is longer than a limit.

    Args:
        size: (width, height) in pixels.
        limit: longest side in pixels.
        who: what has the limit, for the message, such as "TensorFlow decodes images".

    Raises:
        BadImage: a side is longer.
    """
    if max(size) > limit:
        raise BadImage(f"is {size[0]:,}x{size[1]:,} pixels, and {who} with sides of at most {limit:,}; cut it up")


def upright_rgb(image_bytes: bytes) -> Image.Image:
    """Decodes an image to RGB, turned upright by its EXIF orientation; takes any format that Pillow reads.

    Raises:
        BadImage: the image cannot be decoded, or the white of its levels is not known.
    """
    with opened(image_bytes) as image:
        return to_upright_rgb(image)


def turn(image: Image.Image) -> Image.Transpose | None:
    """Returns the turn that makes an image upright by its EXIF orientation; None if it is upright already."""
    try:
        with _quiet():
            orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # Pillow lets errors of nearly any class out on damaged EXIF data
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Converts an image to RGB as `to_rgb` does, and turns it upright by its EXIF orientation.

    Raises:
        BadImage: the white of its levels is not known.
    """
    method, image = turn(image), to_rgb(image)
    return image if method is None else image.transpose(method)


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any Pillow mode to 8-bit RGB; returns the image itself if it is RGB.

    An alpha channel, and a transparent colour, are dropped, as TensorFlow's decoders do. Of 16-bit levels the high
    byte is kept, as TensorFlow's PNG decoder and Pillow's for 16-bit RGB do.

    Raises:
        BadImage: the levels are 32-bit integers or floats, and their values do not tell which of them is white.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_high_bytes(image))
    elif image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # the direct way gives the same colours, and a warning
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_bytes(image: Image.Image) -> np.ndarray:
    """Returns the grey levels of an image of more than 8 bits, (H, W) uint8."""
    levels = np.asarray(image)
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]  # 12 in some TIFFs
        return (levels >> (bits - 8)).astype(np.uint8)
    low, high = levels.min(), levels.max()
    if image.mode == "F" and low >= 0 and high <= 1:
        return np.rint(levels * 255).astype(np.uint8)
    if low >= 0 and high <= 0xFF and image.format not in _SIXTEEN_BITS_IN_I:
        return np.rint(levels).astype(np.uint8)
    if low >= 0 and high <= 0xFFFF:
        return (levels.astype(np.uint16) >> 8).astype(np.uint8)
    raise BadImage(
        f"holds levels from {low:g} to {high:g}, which do not tell what is white: save it with levels of 8 or 16 bits"
    )


def _identified(image_bytes: bytes) -> Image.Image:
    """Opens an image without decoding it; a JPEG with metadata that Pillow cannot read is opened without them.

    Raises:
        Exception: Pillow does not open it, or it has more pixels than Pillow allows.
    """
    try:
        return _open(image_bytes)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise
    except Exception:
        without_metadata = jpeg_segments.without_metadata(image_bytes)
        if without_metadata == image_bytes:
            raise
        return _open(without_metadata)


def _open(image_bytes: bytes) -> Image.Image:
    with _quiet():
        return Image.open(io.BytesIO(image_bytes))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back Pillow's warnings inside the context; raises the one about an image with too many pixels."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield
