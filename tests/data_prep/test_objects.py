"""Tests where the boxes of annotations lie in the stored image, with numbers worked out by hand and Pillow's turns."""

import numpy as np
import pytest
from PIL import Image

from data_prep.image_preparation import PreparedImage
from data_prep.objects import Annotation, NoteReader, Object, Placed, turn_box
from data_prep.pieces import Piece
from vgg_keras.data.photo_decoding import BadImage

VOC, IMAGENET = NoteReader(first_pixel=1, strict=True), NoteReader(first_pixel=0, strict=False)


def place(reader, boxes, size=(100, 50), given=(100, 50), turned=None):
    """Places boxes (ymin, xmin, ymax, xmax); returns those of the record, and how many are clipped and left out."""
    note = Annotation("a.xml", given, [Object(3, box, True) for box in boxes]).to_note()
    placed = reader(Piece("a.jpg", 3, 0, 0, note), PreparedImage(b"", None, "", size, turned))
    assert all((one.label, one.is_difficult) == (3, True) for one in placed.objects)
    return [pytest.approx(one.box) for one in placed.objects], placed.num_clipped, placed.num_left_out


def test_pixels_of_voc_are_counted_from_one_and_the_last_belongs_to_the_box():
    # Rows 11 to 20 of 50, columns 21 to 40 of 100; the whole image; a single pixel, the last one.
    boxes = [(11, 21, 20, 40), (1, 1, 50, 100), (50, 100, 50, 100)]
    expected = [(10 / 50, 20 / 100, 20 / 50, 40 / 100), (0, 0, 1, 1), (49 / 50, 99 / 100, 1, 1)]
    assert place(VOC, boxes) == (expected, 0, 0)
    # A file without a size is taken to be of the image as it is.
    assert place(VOC, boxes, given=(0, 0)) == (expected, 0, 0)


def test_corners_of_imagenet_are_edges_of_pixels():
    assert place(IMAGENET, [(10, 20, 20, 40), (0, 0, 50, 100)]) == ([(0.2, 0.2, 0.4, 0.4), (0, 0, 1, 1)], 0, 0)


def test_a_box_a_few_pixels_past_the_border_is_cut():
    # From column 0, in front of the first one, to row 55, five below the last one.
    assert place(VOC, [(11, 0, 55, 40)]) == ([(0.2, 0, 1, 0.4)], 1, 0)
    with pytest.raises(BadImage, match=r"^a\.xml: the box with xmin=0, ymin=11, xmax=40, ymax=56 is not inside the im"):
        place(VOC, [(11, 0, 56, 40)])


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ((20, 21, 11, 40), "xmin=21, ymin=20, xmax=40, ymax=11 is empty or reversed"),
        ((11, 41, 20, 40), "is empty or reversed"),
        ((11, 101, 20, 103), "xmin=101, ymin=11, xmax=103, ymax=20 is not inside the image of 100x50 pixels"),
        ((11, 21, 20, 1040), "is not inside the image of 100x50 pixels"),
    ],
)
def test_wrong_boxes(box, problem):
    with pytest.raises(BadImage, match=problem):
        place(VOC, [(1, 1, 9, 9), box])
    # The others are kept where no image may be lost.
    assert place(IMAGENET, [(1, 1, 9, 9), box]) == ([(1 / 50, 1 / 100, 9 / 50, 9 / 100)], 0, 1)


def test_a_box_that_has_no_area_in_a_record_is_wrong():
    # A millionth of a pixel of 100 wide, beside 0.3, where float32 numbers are 3e-8 apart.
    thin = (10, 30, 20, 30.000001)
    assert place(IMAGENET, [thin, (10, 20, 20, 40)]) == ([(0.2, 0.2, 0.4, 0.4)], 0, 1)
    with pytest.raises(BadImage, match=r"^a\.xml: a box is thinner than the numbers of a record can tell"):
        place(NoteReader(first_pixel=0, strict=True), [thin])


def test_an_annotation_of_another_image():
    with pytest.raises(BadImage, match=r"^a\.xml is of an image of 100x51 pixels, this one has 100x50$"):
        place(VOC, [(1, 1, 9, 9)], given=(100, 51))
    assert place(IMAGENET, [(1, 1, 9, 9), (1, 1, 8, 8)], given=(100, 51)) == ([], 0, 2)


def test_an_image_without_a_note_has_no_objects():
    assert VOC(Piece("a", 0, 0, 0), PreparedImage(b"", None, "", (1, 1))) == Placed()


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_boxes_are_turned_with_their_image(turn):
    pixels = np.zeros((50, 100), np.uint8)
    pixels[10:20, 20:40] = 255
    turned = Image.fromarray(pixels).transpose(turn)
    left, top, right, bottom = turned.getbbox()
    width, height = turned.size
    expected = (top / height, left / width, bottom / height, right / width)
    assert turn_box((10 / 50, 20 / 100, 20 / 50, 40 / 100), turn) == pytest.approx(expected)
    assert place(VOC, [(11, 21, 20, 40)], turned=turn) == ([expected], 0, 0)


def test_an_annotation_of_the_upright_image_is_not_turned():
    # The file stores 50 columns and 100 rows, which are turned; the annotation was made on the turned image.
    turn = Image.Transpose.ROTATE_90
    assert place(VOC, [(11, 21, 20, 40)], size=(50, 100), turned=turn) == ([(0.2, 0.2, 0.4, 0.4)], 0, 0)
    with pytest.raises(BadImage, match="of an image of 100x50 pixels, this one has 50x100"):
        place(VOC, [(11, 21, 20, 40)], size=(50, 100))
