"""Reads photos in whatever form Python code holds them: paths, encoded bytes, Pillow images, arrays."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from vgg_keras.data import photo_files
from vgg_keras.data.photo_files import BadImage
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray"
ImageInputs: TypeAlias = "ImageInput | Iterable[ImageInput]"


class NamedPhoto(NamedTuple):
    """A decoded photo.

    Attributes:
        file: file of the photo, or "" if it is not of a file.
        pixels: (H, W, 3) uint8, RGB.
    """

    file: str
    pixels: np.ndarray


def is_single(images: ImageInputs) -> bool:
    """Returns whether images are one image: a file, bytes, a Pillow image, or an array of two or three axes.

    A folder, and a glob pattern that is not a file's name, stand for several.
    """
    if isinstance(images, (str, os.PathLike)):
        path = Path(paths.expand(str(images), str(images)))
        return path.is_file() or not (path.is_dir() or any(character in str(path) for character in "*?["))
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    return isinstance(images, (bytes, bytearray, memoryview, Image.Image))


def read_images(images: ImageInputs) -> list[NamedPhoto]:
    """Decodes images, upright and as RGB.

    Args:
        images: one image or several: paths of files, folders (searched at any depth) and globs; encoded images in any
            format that Pillow reads; Pillow images; arrays of levels 0..255, (H, W), (H, W, 1), (H, W, 3) or, for
            several images, (N, H, W, 3).

    Raises:
        UserError: a path yields no file, an image does not decode, or an array is not one of levels 0..255.
    """
    if isinstance(images, (str, os.PathLike)):
        if not os.fspath(images):
            raise UserError("the path of an image is empty")
        return [_decode(path) for path in photo_files.find([os.fspath(images)])]
    if is_single(images) or not isinstance(images, Iterable):
        return [_decode(images)]  # type: ignore[arg-type]
    found: list[NamedPhoto] = []
    for image in images:
        several = isinstance(image, (str, os.PathLike))
        found += read_images(image) if several else [_decode(image)]  # type: ignore[arg-type]
    if not found:
        raise UserError("there are no images: the list is empty")
    return found


def _decode(image: ImageInput) -> NamedPhoto:
    file = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
    try:
        if isinstance(image, (str, os.PathLike)):
            return NamedPhoto(file, photo_files.read(Path(image)))
        if isinstance(image, (bytes, bytearray, memoryview)):
            return NamedPhoto("", np.asarray(photo_files.upright_rgb(bytes(image))))
        if isinstance(image, Image.Image):
            if 0 in image.size:
                raise BadImage(f"is empty: {image.width}x{image.height} pixels")
            return NamedPhoto("", np.asarray(photo_files.to_rgb(ImageOps.exif_transpose(image))))
    except (BadImage, OSError, ValueError) as error:  # ValueError: a Pillow image that was closed
        raise UserError(f"{file or 'an image'}: {error}") from error
    if isinstance(image, np.ndarray):
        return NamedPhoto("", _levels(image))
    raise UserError(f"an image must be a path, bytes, a Pillow image or an array; received {type(image).__name__}")


def _levels(array: np.ndarray) -> np.ndarray:
    """Returns an array of levels as (H, W, 3) uint8."""
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise UserError(f"an array must be (H, W), (H, W, 1) or (H, W, 3); received {array.shape}")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
            raise UserError(f"an array must hold levels 0..255; received {array.dtype} with values that are no numbers")
        if array.min() < 0 or array.max() > 255:
            raise UserError(f"an array must hold levels 0..255; received {array.min():g} to {array.max():g}")
        if np.issubdtype(array.dtype, np.floating) and 0 < array.max() <= 1:
            raise UserError(
                f"an array must hold levels 0..255; received {array.dtype} from {array.min():g} to {array.max():g}, "
                "which look like levels on the scale 0..1: multiply them by 255"
            )
        array = np.rint(array).astype(np.uint8)
    return np.broadcast_to(array, (*array.shape[:2], 3))


def single(images: ImageInputs) -> NamedPhoto:
    """Decodes exactly one image.

    Raises:
        UserError: there are several, or the image cannot be read.
    """
    found: Sequence[NamedPhoto] = read_images(images)
    if len(found) != 1:
        raise UserError(f"give one image; received {len(found)}")
    return found[0]
