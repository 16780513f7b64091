"""Finds photo files by name, folder or pattern, reads them, and writes them with captions and boxes."""

import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vgg_keras.data.photo_decoding import upright_rgb
from vgg_keras.data.pixel_boxes import PixelBox
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically
from vgg_keras.utils.options import PathLike

_JPEG_QUALITY = 92
# Height of a line of the caption, relative to the photo's width, and its bounds in pixels.
_LINE_SHARE, _MIN_LINE, _MAX_LINE = 1 / 16, 12, 36
Colour = tuple[int, int, int]
# Width of a box's outline, relative to the photo's smaller side, and its colours from the outside in.
# Not green, which in the reports of evaluations means that a box is right.
_OUTLINE_SHARE, _OUTLINE_COLOURS = 1 / 150, ((255, 255, 0), (0, 0, 0))


# Folders in which systems and viewers keep thumbnails, deleted files and copies, in lower case.
_LEFT_OUT = frozenset(
    ("@eadir", "@recycle", "#recycle", "$recycle.bin", "__macosx", "__pycache__", "thumbnails", "lost+found")
) | {"system volume information"}


def is_left_out(folder_name: str) -> bool:
    """Returns whether a folder is not searched for photos: a hidden one, or one of thumbnails or deleted files."""
    return folder_name.startswith(".") or folder_name.lower() in _LEFT_OUT


def find(patterns: Sequence[PathLike]) -> list[Path]:
    """Finds photo files.

    Args:
        patterns: files, folders (searched at any depth for files with one of IMAGE_SUFFIXES, but not in hidden folders
            and those of thumbnails), and glob patterns. Files whose names start with a dot are left out.

    Returns:
        The files, each once, in the order of `patterns`; those of a folder or a pattern sorted.

    Raises:
        UserError: one of `patterns` yields no file.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(paths.expand(str(pattern), str(pattern)))
        if path.is_dir():
            inside = [match for match in path.rglob("*") if match.suffix.lower() in IMAGE_SUFFIXES]
            matches = [match for match in inside if not any(map(is_left_out, match.relative_to(path).parts[:-1]))]
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        files = sorted(match for match in matches if match.is_file() and not match.name.startswith("."))
        if not files:
            raise UserError(
                f"{pattern}: no photo found; name a file, a folder of photos, or a pattern that matches some"
            )
        found |= dict.fromkeys(files)
    return list(found)


def read(path: Path) -> np.ndarray:
    """Decodes a photo, or the first frame of an animation, turned upright by its EXIF orientation.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        BadImage: the photo does not decode.
        OSError: the file cannot be read.
    """
    return np.asarray(upright_rgb(path.read_bytes()))


def annotate(photo: np.ndarray, lines: Sequence[str], box: PixelBox | None = None) -> Image.Image:
    """Returns a photo as a picture with one or more lines of text in a band below it, and perhaps a box on it.

    Args:
        photo: (H, W, 3) uint8, RGB.
        lines: the text.
        box: box in pixels of the photo, whose outermost pixels become its outline; None: none is drawn.
    """
    height, width = photo.shape[:2]
    # The band below a very narrow photo is wider than the photo, so that the text fits.
    line = min(max(round(width * _LINE_SHARE), _MIN_LINE), _MAX_LINE)
    font = ImageFont.load_default(size=round(line * 0.75))
    text_width = max(round(font.getlength(text)) for text in lines) + line
    band = line * len(lines) + line // 2
    picture = Image.new("RGB", (max(width, text_width), height + band), "white")
    picture.paste(Image.fromarray(photo if box is None else outlined(photo, box)), (0, 0))
    draw = ImageDraw.Draw(picture)
    for index, text in enumerate(lines):
        draw.text((line // 2, height + line // 4 + line * index), text, fill="black", font=font)
    return picture


def outlined(photo: np.ndarray, box: PixelBox, colours: Sequence[Colour] = _OUTLINE_COLOURS) -> np.ndarray:
    """Returns a copy of a photo, (H, W, 3) uint8 RGB, with the outline of a box, whose outermost pixels are the box's.

    The outline has two colours, so that it is seen on every ground. An empty box becomes a line.

    Args:
        photo: the photo.
        box: the box in pixels of the photo.
        colours: the colours of the outline, RGB 0..255, from the outside in.
    """
    line = max(1, round(min(photo.shape[:2]) * _OUTLINE_SHARE))
    (top, bottom), (left, right) = (
        (min(begin, side - 1), max(end, min(begin, side - 1) + 1))
        for begin, end, side in zip(box[:2], box[2:], photo.shape[:2], strict=True)
    )
    drawn = photo.copy()
    # From the outside in: each is painted over by the next, and the last one by the photo itself.
    for index, colour in enumerate((*colours, None)):
        inset = index * line
        inside = np.s_[top + inset : max(bottom - inset, 0), left + inset : max(right - inset, 0)]
        drawn[inside] = photo[inside] if colour is None else colour
    return drawn


def write(picture: Image.Image, path: Path) -> None:
    """Writes a picture as JPEG, complete or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_atomically(path, lambda temporary: picture.save(temporary, format="JPEG", quality=_JPEG_QUALITY))


# Suffixes, in lower case, of the files in a folder that are taken for photos.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
