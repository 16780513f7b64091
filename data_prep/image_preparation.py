"""What happens to one encoded image on its way into the records: checked, repaired, shrunk, measured.

Runs in worker processes, so it imports neither TensorFlow nor TFDS.
"""

import dataclasses
import functools
import io

import numpy as np
from PIL import Image, ImageOps

from vgg_keras.data.photo_files import BadImage, opened, to_rgb
from vgg_keras.data.rgb_statistics import RgbMoments

# What TensorFlow decodes by itself; anything else that Pillow reads is stored as JPEG.
_STORED_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
_JPEG_QUALITY = 95
_EXIF_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How images are stored.

    Attributes:
        smallest_side: shrink larger images isotropically to this smallest side, in pixels; 0 keeps all sizes.
        only_jpeg: store every image as JPEG, whatever it came as (the one PNG of ILSVRC is named .JPEG).
        upright: turn the pixels as the EXIF orientation says, since decoders ignore it.
        measure: also return the RGB moments of the stored pixels.
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
        moments: the RGB moments of its pixels, or None where they were not asked for.
        change: what was done to it ("shrunk", "repaired"), or "" where the bytes are as they came.
    """

    image_bytes: bytes
    moments: RgbMoments | None
    change: str


def isotropic_size(width: int, height: int, smallest_side: int) -> tuple[int, int]:
    """Returns (width, height) with the smaller one exactly `smallest_side`, the other rounded half up."""
    smallest = min(width, height)
    scale = lambda side: (2 * side * smallest_side + smallest) // (2 * smallest)  # noqa: E731
    return scale(width), scale(height)


def prepare(image_bytes: bytes, preparation: Preparation) -> PreparedImage:
    """Checks that an image decodes whole, and returns the bytes to store.

    CMYK JPEGs and formats that TensorFlow does not decode become RGB JPEGs ("repaired"), as do images that are not
    upright; images whose smallest side is larger than asked for are shrunk; every other image stays as it came, byte
    for byte.

    Raises:
        BadImage: it is empty, truncated, not an image, or of a gigantic size.
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
        # Of the pixels as stored: a re-encoded image is decoded again.
        stored = Image.open(encoded).convert("RGB") if repair or shrink else image
        moments = RgbMoments.measure(np.asarray(stored))
    return PreparedImage(image_bytes, moments, "repaired" if repair else "shrunk" if shrink else "")


def prepare_or_reason(image_bytes: bytes, preparation: Preparation) -> PreparedImage | str:
    """Returns the prepared image, or the reason why it cannot be stored (exceptions do not cross processes well)."""
    try:
        return prepare(image_bytes, preparation)
    except BadImage as error:
        return str(error)


def make_preparer(preparation: Preparation) -> functools.partial:
    """Returns a picklable function from image bytes to a `PreparedImage` or the reason why there is none."""
    return functools.partial(prepare_or_reason, preparation=preparation)
