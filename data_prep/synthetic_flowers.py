"""Draws a small data set, flowers of five kinds, on which a net can be trained without a download.

Each kind has its own petals, centre and colours; position, size, angle, background, light, and the picture's size and
shape vary.
"""

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.image_preparation import PreparedImage
from data_prep.objects import Box, Object, Placed
from data_prep.pieces import Piece, Pieces, Reader
from data_prep.sources import Source, Split
from data_prep.summary import DatasetSummary

NAMES = ("daisy", "dandelion", "rose", "sunflower", "tulip")
IMAGES_PER_CLASS = {"train": 200, "validation": 40}

# Bytes of an encoded picture, roughly: a picture's size is known only once it is drawn.
_TYPICAL_SIZE = 5_000

Color = tuple[int, int, int]
# Shapes are drawn larger and then shrunk, since Pillow draws ellipses and polygons without smooth edges.
_OVERSAMPLING = 3


class _Canvas:
    """Draws shapes on a picture, and remembers which pixels they cover.

    Attributes:
        covered: "1" picture of the same size, white where a shape was drawn.
    """

    def __init__(self, image: Image.Image) -> None:
        self.covered = Image.new("1", image.size)
        self._draw, self._cover = ImageDraw.Draw(image), ImageDraw.Draw(self.covered)

    def polygon(self, points: Sequence, fill: Color) -> None:
        """Draws a polygon."""
        self._draw.polygon(points, fill=fill)
        self._cover.polygon(points, fill=1)

    def ellipse(self, corners: Sequence[float], fill: Color) -> None:
        """Draws an ellipse inside (left, top, right, bottom)."""
        self._draw.ellipse(corners, fill=fill)
        self._cover.ellipse(corners, fill=1)

    def rectangle(self, corners: Sequence[float], fill: Color) -> None:
        """Draws a rectangle (left, top, right, bottom)."""
        self._draw.rectangle(corners, fill=fill)
        self._cover.rectangle(corners, fill=1)

    def box(self) -> Box:
        """Returns the box (ymin, xmin, ymax, xmax) around the covered pixels, relative to the picture."""
        left, top, right, bottom = self.covered.getbbox() or (0, 0, 0, 0)
        width, height = self.covered.size
        return top / height, left / width, bottom / height, right / width


def _petals(draw: _Canvas, center, radius: float, angle: float, count: int, width: float, color: Color) -> None:
    """Draws a ring of `count` pointed petals; their width is relative to the radius."""
    x, y = center
    for petal in range(count):
        direction = angle + 2 * math.pi * petal / count
        along, across = (
            np.array([math.cos(direction), math.sin(direction)]),
            np.array([-math.sin(direction), math.cos(direction)]),
        )
        outline = [(0.15, 0.0), (0.45, width / 2), (0.8, width / 2), (1.0, 0.0), (0.8, -width / 2), (0.45, -width / 2)]
        points = [tuple(np.array([x, y]) + radius * (far * along + side * across)) for far, side in outline]
        draw.polygon(points, fill=color)


def _disc(draw: _Canvas, center, radius: float, color: Color) -> None:
    x, y = center
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _daisy(draw, center, radius, rng) -> None:
    _petals(draw, center, radius, rng.uniform(0, 6.3), int(rng.integers(12, 18)), 0.22, (245, 245, 240))
    _disc(draw, center, radius * 0.28, (240, 190, 30))


def _dandelion(draw, center, radius, rng) -> None:
    for ring in (1.0, 0.8, 0.6, 0.4):
        shade = int(190 + 40 * (1 - ring))
        _petals(draw, center, radius * ring, rng.uniform(0, 6.3), 30, 0.09, (255, shade, 20))


def _rose(draw, center, radius, rng) -> None:
    red = int(rng.integers(150, 220))
    x, y = center
    for ring in range(6):
        size = radius * (1 - ring / 7)
        turn = rng.uniform(0, 6.3)
        shift = radius * 0.08
        _disc(
            draw,
            (x + shift * math.cos(turn), y + shift * math.sin(turn)),
            size,
            (red - 18 * (ring % 2), 20 + 8 * ring, 50),
        )


def _sunflower(draw, center, radius, rng) -> None:
    _petals(draw, center, radius, rng.uniform(0, 6.3), int(rng.integers(18, 24)), 0.2, (250, 190, 10))
    _disc(draw, center, radius * 0.5, (80, 50, 20))


def _tulip(draw, center, radius, rng) -> None:
    x, y = center
    colors = ((200, 40, 120), (230, 90, 160), (150, 50, 170))
    color = colors[int(rng.integers(3))]
    draw.rectangle((x - radius * 0.06, y, x + radius * 0.06, y + 2 * radius), fill=(40, 120, 40))
    draw.polygon(
        [
            (x - radius * 0.6, y - radius * 0.8),
            (x - radius * 0.25, y - radius * 0.35),
            (x, y - radius),
            (x + radius * 0.25, y - radius * 0.35),
            (x + radius * 0.6, y - radius * 0.8),
            (x + radius * 0.5, y + radius * 0.4),
            (x, y + radius * 0.8),
            (x - radius * 0.5, y + radius * 0.4),
        ],
        fill=color,
    )


_DRAW: tuple[Callable, ...] = (_daisy, _dandelion, _rose, _sunflower, _tulip)


def draw_flower(label: int, rng: np.random.Generator) -> Image.Image:
    """Draws a picture of one kind of flower, as `draw_flowers` does, and returns it without the boxes."""
    return draw_flowers(label, rng)[0]


def draw_flowers(label: int, rng: np.random.Generator) -> tuple[Image.Image, list[Box]]:
    """Draws a picture of one or two flowers of a kind.

    Args:
        label: class index, an index of NAMES.
        rng: source of all randomness.

    Returns:
        An RGB picture with sides of 72 to 144 pixels, and the box of each flower with its stem, as far as it is inside
        the picture, relative to it: exact to a third of a pixel, and also around what another flower hides.
    """
    width, height = (int(side) for side in rng.integers(72, 145, size=2))
    large = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    # A soft, mostly green background, interpolated between a few random colours.
    colors = rng.integers((30, 60, 20), (140, 180, 140), size=(3, 4, 3)).astype(np.uint8)
    image = Image.fromarray(colors).resize(large, Image.Resampling.BICUBIC)
    smallest = min(large)
    boxes = []
    for _ in range(int(rng.integers(1, 3))):
        center = tuple(side * rng.uniform(0.35, 0.65) for side in large)
        canvas = _Canvas(image)
        _DRAW[label](canvas, center, smallest * rng.uniform(0.25, 0.42), rng)
        boxes.append(canvas.box())
    image = image.resize((width, height), Image.Resampling.LANCZOS).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 0.8))
    )
    light = np.asarray(image) * rng.uniform(0.7, 1.15) + rng.normal(0, 5, (height, width, 3))
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)), boxes


@functools.lru_cache(maxsize=1)  # a picture's boxes are asked for after it was read
def _draw(seed: int, split_index: int, piece: Piece) -> tuple[Image.Image, list[Box]]:
    """Draws a picture; its mark is its number in the split."""
    return draw_flowers(piece.label, np.random.default_rng([seed, split_index, piece.mark]))


def _read(seed: int, split_index: int, piece: Piece) -> bytes:
    encoded = io.BytesIO()
    _draw(seed, split_index, piece)[0].save(encoded, format="JPEG", quality=90)
    return encoded.getvalue()


def _annotate(seed: int, split_index: int, piece: Piece, prepared: PreparedImage) -> Placed:
    del prepared  # the boxes are relative, and no picture is turned
    return Placed([Object(piece.label, box) for box in _draw(seed, split_index, piece)[1]])


def _make_reader(seed: int, split_index: int, folder: Path) -> Reader:
    del folder  # nothing has to be unpacked
    return functools.partial(_read, seed, split_index)


def synthetic_flowers(seed: int, images_per_class: Mapping[str, int] = IMAGES_PER_CLASS) -> Source:
    """Returns the drawn flowers as a source; the seed, the split and the picture's number determine each picture.

    Args:
        seed: seed of the pictures.
        images_per_class: number of pictures of each kind, for each split.
    """

    splits = {}
    for index, split in enumerate(sorted(images_per_class)):
        count = images_per_class[split] * len(NAMES)
        pieces = Pieces.collect(
            Piece(f"{NAMES[number % len(NAMES)]}/{number:05}.jpg", number % len(NAMES), _TYPICAL_SIZE, number)
            for number in range(count)
        )
        make_reader = functools.partial(_make_reader, seed, index)
        splits[split] = Split(pieces, make_reader, f"seed {seed}", functools.partial(_annotate, seed, index))
    return Source(
        name="drawn_flowers",
        description="Drawn flowers of five kinds, made from a seed.",
        class_names=NAMES,
        label_names=NAMES,
        splits={split: splits[split] for split in images_per_class},
    )


def write_synthetic_flowers(output_dir: Path, seed: int) -> DatasetSummary:
    """Writes the drawn flowers as a data set, with all files that `write_dataset` puts beside the records.

    Args:
        output_dir: folder of the data set.
        seed: seed of the pictures.

    Raises:
        UserError: `output_dir` exists and is not an empty folder.
    """
    return write_dataset(synthetic_flowers(seed), PrepareOptions(output_dir=str(output_dir), num_workers=1))
