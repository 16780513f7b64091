"""Photo files that people have: found by name, folder or pattern, decoded upright, written with words on them."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.image_preparation import IMAGE_SUFFIXES, upright_rgb
from vgg_keras.training.checkpoints import write_atomically
from vgg_keras.utils.cli import UserError

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


def annotated(photo: np.ndarray, lines: Sequence[str]) -> Image.Image:
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
