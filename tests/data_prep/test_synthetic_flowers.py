"""Tests that the boxes of drawn flowers are around what was drawn, and that the pictures stay what they were."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_prep import synthetic_flowers
from tests.data_prep.test_voc import read


def draw_alone(label, monkeypatch):
    """Draws a picture with and without its flowers; returns how much each pixel differs, and the boxes."""
    with_flowers, boxes = synthetic_flowers.draw_flowers(label, np.random.default_rng(label + 100))

    class Blind(synthetic_flowers._Canvas):
        def __init__(self, image):
            super().__init__(Image.new("RGB", image.size))

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_flowers, "_Canvas", Blind)
        without, same_boxes = synthetic_flowers.draw_flowers(label, np.random.default_rng(label + 100))
    assert same_boxes == boxes
    difference = np.abs(np.asarray(with_flowers, int) - np.asarray(without, int)).max(-1)
    return difference, boxes


@pytest.mark.parametrize("label", range(5))
def test_boxes_are_around_the_flowers(label, monkeypatch):
    difference, boxes = draw_alone(label, monkeypatch)
    height, width = difference.shape
    # The box around all flowers together; smoothing blurs its edges by up to two pixels.
    left, top, right, bottom = Image.fromarray((difference > 12).astype(np.uint8)).getbbox()
    ymin, xmin = np.min(boxes, axis=0)[:2] * (height, width)
    ymax, xmax = np.max(boxes, axis=0)[2:] * (height, width)
    np.testing.assert_allclose((ymin, xmin, ymax, xmax), (top, left, bottom, right), atol=3)
    assert all(0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1 for box in boxes)


def test_a_shape_by_hand():
    image = Image.new("RGB", (100, 50))
    canvas = synthetic_flowers._Canvas(image)
    canvas.rectangle((20, 10, 39, 19), fill=(9, 9, 9))  # Pillow draws the last column and row too
    assert canvas.box() == (10 / 50, 20 / 100, 20 / 50, 40 / 100)
    canvas.polygon([(90, 40), (200, 40), (200, 90), (90, 90)], fill=(9, 9, 9))  # reaches out of the picture
    assert canvas.box() == (10 / 50, 20 / 100, 1, 1)
    assert np.asarray(image)[15, 25].tolist() == [9, 9, 9]


@pytest.mark.parametrize("label", range(5))
def test_the_pixels_are_those_of_the_plain_drawing(label, monkeypatch):
    picture = synthetic_flowers.draw_flower(label, np.random.default_rng(label))

    class Plain(ImageDraw.ImageDraw):
        def box(self):
            return ()

    monkeypatch.setattr(synthetic_flowers, "_Canvas", Plain)
    assert synthetic_flowers.draw_flower(label, np.random.default_rng(label)).tobytes() == picture.tobytes()


def test_records_hold_the_boxes(drawn_data):
    for example in read(drawn_data, "validation").values():
        assert set(example["objects"]["label"].tolist()) == {int(example["label"])}
        assert len(example["objects"]["bbox"]) in (1, 2)
        assert not example["objects"]["is_difficult"].any()
