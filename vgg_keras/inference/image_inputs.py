"""Reads photos in whatever form Python code holds them: paths, encoded bytes, Pillow images, arrays."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from vgg_keras.data import photo_decoding, photo_files
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | np.ndarray"
ImageInputs: TypeAlias = "ImageInput | Iterable[ImageInput]"
ResultT = TypeVar("ResultT")


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


def read_images(images: ImageInputs) -> Iterator[NamedPhoto]:
    """Decodes images one after the other, upright and as RGB, so that only one of them is in memory at a time.

    A photo of a folder or a glob that cannot be read is left out with a warning that names it.

    Args:
        images: one image or several: paths of files, folders (searched at any depth) and globs; encoded images in any
            format that Pillow reads; Pillow images; arrays of levels 0..255, (H, W), (H, W, 1), (H, W, 3) or, for
            several images, (N, H, W, 3).

    Raises:
        UserError: a path yields no file or no photo that can be read, an image does not decode, or an array is not one
            of levels 0..255.
    """
    if isinstance(images, (str, os.PathLike)):
        if not os.fspath(images):
            raise UserError("the path of an image is empty")
        path = Path(images).expanduser()
        yield from [_decode(path)] if path.is_file() else _decode_found(images)
        return
    if is_single(images) or not isinstance(images, Iterable):
        yield _decode(images)  # type: ignore[arg-type]
        return
    empty = True
    for image in images:
        empty = False
        several = isinstance(image, (str, os.PathLike))
        yield from read_images(image) if several else [_decode(image)]  # type: ignore[arg-type]
    if empty:
        raise UserError("there are no images: the list is empty")


def _decode_found(pattern: str | os.PathLike[str]) -> Iterator[NamedPhoto]:
    """Decodes the photos of a folder or a glob, and leaves out those that cannot be read, with a warning."""
    paths = photo_files.find([os.fspath(pattern)])
    photo = None
    for photo in filter(None, map(_decode_or_warn, paths)):
        yield photo
    if photo is None:
        raise UserError(f"{pattern}: none of its {len(paths)} photos can be read")


def _decode_or_warn(path: Path) -> NamedPhoto | None:
    try:
        return _decode(path)
    except UserError as error:
        warnings.warn(f"left out {error}", stacklevel=2)
        return None


def _decode(image: ImageInput) -> NamedPhoto:
    file = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
    try:
        if isinstance(image, (str, os.PathLike)):
            return NamedPhoto(file, photo_files.read(Path(image)))
        if isinstance(image, (bytes, bytearray, memoryview)):
            return NamedPhoto("", np.asarray(photo_decoding.upright_rgb(bytes(image))))
        if isinstance(image, Image.Image):
            if 0 in image.size:
                raise BadImage(f"is empty: {image.width}x{image.height} pixels")
            with photo_decoding.pillow_errors():  # such as that of an image that was closed
                return NamedPhoto("", np.asarray(photo_decoding.to_upright_rgb(image)))
    except (BadImage, OSError) as error:
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
    found = list(read_images(images))
    if len(found) != 1:
        raise UserError(f"give one image; received {len(found)}")
    return found[0]


def of_named(photo: NamedPhoto, compute: Callable[[np.ndarray], ResultT]) -> ResultT:
    """Calls a function of a photo's pixels, and names the photo in its error.

    Raises:
        UserError: the function raised a `BadImage`.
    """
    try:
        return compute(photo.pixels)
    except BadImage as error:
        raise UserError(f"{photo.file or 'an image'}: {error}") from error
