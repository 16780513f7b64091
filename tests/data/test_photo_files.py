"""Tests the search for photos, their captions and the boxes on them."""

import numpy as np
import pytest

from vgg_keras.data import photo_files
from vgg_keras.data.pixel_boxes import PixelBox


def test_the_annotation_of_a_narrow_photo_is_readable():
    picture = photo_files.annotate(np.zeros((50, 8, 3), np.uint8), ["a rather long label 0.987"])
    assert picture.width > 100


def test_hidden_folders_and_thumbnails_are_not_searched(tmp_path):
    for name in ("a/1.jpg", "a/.ipynb_checkpoints/1.jpg", "@eaDir/1.jpg", "a/.2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert photo_files.find([tmp_path]) == [tmp_path / "a" / "1.jpg"]
    # A folder that the user names is searched whatever its name is.
    assert photo_files.find([tmp_path / "@eaDir"]) == [tmp_path / "@eaDir" / "1.jpg"]


def test_the_outline_of_a_box_pixel_by_pixel():
    photo = np.full((6, 7, 3), 90, np.uint8)
    drawn = photo_files.outlined(photo, PixelBox(1, 1, 6, 7))
    yellow, black = (255, 255, 0), (0, 0, 0)
    letters = {yellow: "y", black: "b", (90, 90, 90): "."}
    assert ["".join(letters[tuple(pixel)] for pixel in row) for row in drawn.tolist()] == [
        ".......",
        ".yyyyyy",
        ".ybbbby",
        ".yb..by",
        ".ybbbby",
        ".yyyyyy",
    ]
    assert (photo == 90).all()


@pytest.mark.parametrize(
    ("box", "yellow"),
    [
        (PixelBox(2, 3, 3, 4), [(2, 3)]),
        (PixelBox(2, 3, 2, 5), [(2, 3), (2, 4)]),  # no row
        (PixelBox(6, 7, 6, 7), [(5, 6)]),  # beyond the last pixel
        (PixelBox(0, 0, 2, 1), [(0, 0), (1, 0)]),
    ],
)
def test_a_box_of_a_few_pixels_or_none_is_seen(box, yellow):
    drawn = photo_files.outlined(np.full((6, 7, 3), 90, np.uint8), box)
    assert list(zip(*np.nonzero((drawn == (255, 255, 0)).all(axis=-1)), strict=True)) == yellow
    assert ((drawn == 90).all(axis=-1)).sum() == 42 - len(yellow)


def test_the_outline_is_wider_on_a_large_photo():
    drawn = photo_files.outlined(np.full((600, 450, 3), 90, np.uint8), PixelBox(100, 50, 200, 250))
    # 450 / 150 = 3 pixels of each colour, inside the box.
    assert [tuple(pixel) for pixel in drawn[99:107, 150]] == [
        (90, 90, 90), *[(255, 255, 0)] * 3, *[(0, 0, 0)] * 3, (90, 90, 90)
    ]  # fmt: skip
