"""Checks, repairs, shrinks and measures an encoded image before it is stored.

This module runs in worker processes, so it imports neither TensorFlow nor TFDS.
"""

import dataclasses
import functools
import io

import numpy as np
from PIL import Image, ImageOps

from vgg_keras.data.photo_files import BadImage, opened, to_rgb
from vgg_keras.data.rgb_statistics import RgbMoments

# Formats that TensorFlow decodes; images of any other format that Pillow reads are stored as JPEG.
_STORED_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
_JPEG_QUALITY = 95
_EXIF_ORIENTATION = 0x0112


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
        change: "repaired" (converted or turned, and possibly shrunk), "shrunk", or "" if the bytes are unchanged.
    """

    image_bytes: bytes
    moments: RgbMoments | None
    change: str


def isotropic_size(width: int, height: int, smallest_side: int) -> tuple[int, int]:
    """Returns the (width, height) of an image after isotropic rescaling, in pixels.

    The smaller side is exactly `smallest_side`, the other is rounded half up.
    """
    smallest = min(width, height)
    scale = lambda side: (2 * side * smallest_side + smallest) // (2 * smallest)  # noqa: E731
    return scale(width), scale(height)


def prepare(image_bytes: bytes, preparation: Preparation) -> PreparedImage:
    """Checks that an image decodes completely, and returns it as it is to be stored.

    CMYK images, images to be turned, and images of formats that TensorFlow does not decode (with `only_jpeg`, of all
    formats but JPEG) become RGB JPEGs ("repaired"). Images whose smallest side is too large are shrunk and stored as
    JPEG. All others keep their bytes.

    Args:
        image_bytes: the encoded image.
        preparation: the settings.

    Raises:
        BadImage: the bytes are empty, truncated or not an image, or the image has more pixels than Pillow allows.
    """
    with opened(image_bytes) as image:
        return _prepare(image, image_bytes, preparation)


def _prepare(image: Image.Image, image_bytes: bytes, preparation: Preparation) -> PreparedImage:
    turned = preparation.upright and image.getexif().get(_EXIF_ORIENTATION, 1) != 1
    accepted = ("JPEG",) if preparation.only_jpeg else _STORED_FORMATS
    repair = turned or image.format not in accepted or image.mode in ("CMYK", "YCCK")
    shrink = preparation.smallest_side and min(image.size) > preparation.smallest_side
    if turned:
        image = ImageOps.exif_transpose(image)
    if repair or shrink or preparation.measure:
        image = to_rgb(image)
    if shrink:
        image = image.resize(isotropic_size(*image.size, preparation.smallest_side), Image.Resampling.BICUBIC)
    if repair or shrink:
        encoded = io.BytesIO()
        image.save(encoded, format="JPEG", quality=_JPEG_QUALITY)
        image_bytes = encoded.getvalue()
    moments = None
    if preparation.measure:
        # The moments are those of the stored pixels, so an image that was encoded again is decoded again.
        stored = Image.open(encoded).convert("RGB") if repair or shrink else image
        moments = RgbMoments.measure(np.asarray(stored))
    return PreparedImage(image_bytes, moments, "repaired" if repair else "shrunk" if shrink else "")


def prepare_or_reason(image_bytes: bytes, preparation: Preparation) -> PreparedImage | str:
    """Returns the prepared image, or the reason why it cannot be stored, since exceptions do not pickle reliably."""
    try:
        return prepare(image_bytes, preparation)
    except BadImage as error:
        return str(error)


def make_preparer(preparation: Preparation) -> functools.partial:
    """Returns a picklable function from image bytes to a `PreparedImage`, or to the reason why there is none."""
    return functools.partial(prepare_or_reason, preparation=preparation)
