"""Reads the photos on which an exported model is checked."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import photo_decoding, transforms
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.models.run_record import SAMPLES
from vgg_keras.serving import image_headers
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.options import PathLike


def read_check_photos(model_path: Path, check_images: PathLike) -> list[bytes]:
    """Reads the photos on which an export is checked.

    Args:
        model_path: file of the model, in a run's folder with `samples/`.
        check_images: folder or glob of the photos; "" for the run's samples.

    Returns:
        The encoded photos.

    Raises:
        UserError: no photos were found, or one does not decode.
    """
    if check_images:
        path = Path(check_images)
        found = path.iterdir() if path.is_dir() else path.parent.glob(path.name)
    else:
        found = (model_path.parent / SAMPLES).glob("*")
    paths = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise UserError(f"no photos to check the export on beside {model_path}; name some with --check_images=FOLDER")
    return [read_servable_photo(path) for path in paths]


def decode_as_served(photo: bytes, *, turned_upright: bool = True) -> np.ndarray:
    """Decodes a photo to the pixels that a served model sees, (H, W, 3) uint8, by other means than the graph's.

    Args:
        photo: the encoded photo: JPEG, PNG, GIF or BMP.
        turned_upright: whether the graph turns photos by their EXIF orientation; older exports do not.

    Raises:
        BadImage: the photo does not decode.
    """
    if turned_upright:
        return np.asarray(photo_decoding.upright_rgb(photo))
    return transforms.decode(photo).numpy()


def read_servable_photo(path: Path) -> bytes:
    """Reads an encoded photo, and checks that a server would accept it.

    Raises:
        UserError: the photo is no JPEG, PNG, GIF or BMP, has more pixels than Pillow allows, or does not decode.
    """
    photo = path.read_bytes()
    try:
        if int(image_headers.declared_pixels(photo, 0)) == 0:
            raise UserError(f"{path} does not decode: it is no JPEG, PNG, GIF or BMP, which is what a server takes")
        # Pillow first, since it refuses an image of too many pixels before memory is taken.
        with photo_decoding.opened(photo):
            transforms.decode(photo)
    except (BadImage, tf.errors.InvalidArgumentError) as error:
        raise UserError(f"{path} does not decode: {reason(error)}") from error
    return photo
