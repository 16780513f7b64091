"""Photo files that people have: found by name, folder or pattern, decoded upright, written with words on them."""

import contextlib
import glob
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from vgg_keras.utils.cli import UserError
from vgg_keras.utils.files import write_atomically

_JPEG_QUALITY = 92
# Height of a line of the caption beside the picture's width, and its bounds in pixels.
_LINE_SHARE, _MIN_LINE, _MAX_LINE = 1 / 16, 12, 36


def find(places: Sequence[str]) -> list[Path]:
    """Finds photo files.

    Args:
        places: files, folders (searched at any depth for the usual suffixes), and globs.

    Returns:
        The files, each once, in the order of the places; those of a folder or a glob sorted.

    Raises:
        UserError: a place holds nothing.
    """
    found: dict[Path, None] = {}
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            matches = [inside for inside in path.rglob("*") if inside.suffix.lower() in IMAGE_SUFFIXES]
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        files = sorted(match for match in matches if match.is_file() and not match.name.startswith("."))
        if not files:
            raise UserError(f"{place}: no such file, no folder of photos, and no glob that matches any")
        found |= dict.fromkeys(files)
    return list(found)


def read(path: Path) -> np.ndarray:
    """Decodes a photo: (H, W, 3) uint8 RGB, turned as its EXIF orientation says, of animations the first frame.

    Raises:
        data_prep.images.BadImage: it does not decode.
        OSError: it cannot be read.
    """
    return np.asarray(upright_rgb(path.read_bytes()))


def annotate(photo: np.ndarray, lines: Sequence[str]) -> Image.Image:
    """Returns a photo, (H, W, 3) uint8, with lines of text in a band below it."""
    height, width = photo.shape[:2]
    # A very narrow photo gets a band that is wide enough to be read.
    line = min(max(round(width * _LINE_SHARE), _MIN_LINE), _MAX_LINE)
    font = ImageFont.load_default(size=round(line * 0.75))
    text_width = max(round(font.getlength(text)) for text in lines) + line
    band = line * len(lines) + line // 2
    picture = Image.new("RGB", (max(width, text_width), height + band), "white")
    picture.paste(Image.fromarray(photo), (0, 0))
    draw = ImageDraw.Draw(picture)
    for index, text in enumerate(lines):
        draw.text((line // 2, height + line // 4 + line * index), text, fill="black", font=font)
    return picture


def write(picture: Image.Image, path: Path) -> None:
    """Writes a picture as JPEG, complete or not at all."""
    write_atomically(path, lambda temporary: picture.save(temporary, format="JPEG", quality=_JPEG_QUALITY))


# What is taken for a photo in a folder.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class BadImage(Exception):
    """An image that does not decode; the message is the reason."""


def to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would clip 16-bit grey levels; TensorFlow keeps the high byte
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def upright_rgb(image_bytes: bytes) -> Image.Image:
    """Decodes an image in any format that Pillow reads to RGB, turned as its EXIF orientation says.

    Raises:
        BadImage: it is empty, truncated, not an image, or of a gigantic size.
    """
    with opened(image_bytes) as image:
        return to_rgb(ImageOps.exif_transpose(image))


@contextlib.contextmanager
def opened(image_bytes: bytes) -> Iterator[Image.Image]:
    """Opens and decodes an image, of animations the first frame; whatever goes wrong becomes a `BadImage`."""
    if not image_bytes:
        raise BadImage("empty file")
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            image.load()
            yield image
    except Image.UnidentifiedImageError:
        raise BadImage("not an image in a format that Pillow reads") from None
    # Decoders of damaged files raise nearly anything, and every such error means the same here.
    except (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
        raise BadImage(str(error) or type(error).__name__) from error
    except Image.DecompressionBombError as error:
        raise BadImage(str(error)) from error
