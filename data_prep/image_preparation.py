"""Checks, repairs, shrinks and measures an encoded image before it is stored.

This module runs in worker processes, so it imports neither TensorFlow nor TFDS.
"""

import dataclasses
import functools
import io

import numpy as np
from PIL import Image

from data_prep import stored_formats
from vgg_keras.data.photo_decoding import BadImage, check_sides, opened, to_rgb, turn
from vgg_keras.data.rgb_statistics import RgbMoments

# Formats that hold drawings, icons and screenshots more often than photos, and PNGs that are damaged a little. Encoded
# again as PNG they lose nothing.
_STORED_AS_PNG = ("GIF", "BMP", "PNG")
# libjpeg's documentation advises against higher qualities, which enlarge files for hardly any gain. Colours keep their
# full resolution, since halving it (4:2:0, Pillow's default) would change saturated edges visibly.
_JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
# Longest side in pixels that libjpeg encodes (JPEG_MAX_DIMENSION).
_MAX_JPEG_SIDE = 65_500


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Settings for the preparation of images.

    Attributes:
        smallest_side: smallest side in pixels to which larger images are shrunk isotropically; 0 keeps all sizes.
        only_jpeg: whether images of all other formats are stored as JPEG (ILSVRC has one PNG, which is named .JPEG).
        upright: whether images are turned upright by their EXIF orientation, which TensorFlow's decoders ignore.
        measure: whether the RGB moments of the stored pixels are computed.
    """

    smallest_side: int = 0
    only_jpeg: bool = False
    upright: bool = True
    measure: bool = False


@dataclasses.dataclass(frozen=True)
class PreparedImage:
    """An image as it is stored.

    Attributes:
        image_bytes: the encoded image.
        moments: the RGB moments of its pixels, or None if they were not requested.
        change: "repaired" (encoded again or turned, and possibly shrunk), "shrunk", or "" if the bytes are unchanged.
        size: width and height in pixels before it was turned or shrunk.
        turned: the turn that made it upright, or None.
    """

    image_bytes: bytes
    moments: RgbMoments | None
    change: str
    size: tuple[int, int]
    turned: Image.Transpose | None = None


def isotropic_size(width: int, height: int, smallest_side: int) -> tuple[int, int]:
    """Returns the (width, height) of an image after isotropic rescaling, in pixels.

    The smaller side is exactly `smallest_side`, the other is rounded half up.
    """
    smallest = min(width, height)
    scale = lambda side: (2 * side * smallest_side + smallest) // (2 * smallest)  # noqa: E731
    return scale(width), scale(height)


def prepare(image_bytes: bytes, preparation: Preparation) -> PreparedImage:
    """Checks that an image decodes completely, and returns it as it is to be stored.

    JPEGs and PNGs keep their bytes, if TensorFlow decodes them as Pillow does (`stored_formats`). All others, and
    those to be turned, are encoded again ("repaired"): PNGs, GIFs and BMPs as PNG, the rest as JPEG; with `only_jpeg`
    all are JPEGs. Images whose smallest side is too large are shrunk and stored as JPEG.

    Args:
        image_bytes: the encoded image.
        preparation: the settings.

    Raises:
        BadImage: the image cannot be decoded, is too long to be stored, or the white of its levels is not known.
    """
    with opened(image_bytes) as image:
        return _prepare(image, image_bytes, preparation)


def _prepare(image: Image.Image, image_bytes: bytes, preparation: Preparation) -> PreparedImage:
    size, method = image.size, turn(image) if preparation.upright else None
    repair = method is not None or not stored_formats.keeps_bytes(image, image_bytes, preparation.only_jpeg)
    shrink = preparation.smallest_side and min(image.size) > preparation.smallest_side
    lossless = image.format in _STORED_AS_PNG and not (shrink or preparation.only_jpeg)
    if repair or shrink or preparation.measure:
        image = to_rgb(image)
    if method is not None:
        image = image.transpose(method)
    if shrink:
        image = image.resize(isotropic_size(*image.size, preparation.smallest_side), Image.Resampling.BICUBIC)
    if repair or shrink:
        image_bytes = _encode(image, {"format": "PNG"} if lossless else _JPEG)
    moments = None
    if preparation.measure:
        # The moments are those of the stored pixels, so an image that was encoded again is decoded again.
        stored = Image.open(io.BytesIO(image_bytes)) if repair or shrink else image
        moments = RgbMoments.measure(np.asarray(stored))
    return PreparedImage(image_bytes, moments, "repaired" if repair else "shrunk" if shrink else "", size, method)


def _encode(image: Image.Image, settings: dict) -> bytes:
    """Encodes an RGB image, without the metadata of the file that it comes from, which may be damaged.

    Raises:
        BadImage: it is too long for a JPEG.
    """
    if settings is _JPEG:
        check_sides(image.size, _MAX_JPEG_SIDE, "JPEG, as which it would be stored, holds images")
    image.info = {}
    encoded = io.BytesIO()
    image.save(encoded, **settings)
    return encoded.getvalue()


def prepare_or_reason(image_bytes: bytes, preparation: Preparation) -> PreparedImage | str:
    """Returns the prepared image, or the reason why it cannot be stored, since exceptions do not pickle reliably."""
    try:
        return prepare(image_bytes, preparation)
    except BadImage as error:
        return str(error)


def make_preparer(preparation: Preparation) -> functools.partial:
    """Returns a picklable function from image bytes to a `PreparedImage`, or to the reason why there is none."""
    return functools.partial(prepare_or_reason, preparation=preparation)
