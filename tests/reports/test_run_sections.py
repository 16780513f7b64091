"""Tests the sections of a run's page that need no browser."""

import base64
import io

import numpy as np
from PIL import Image

from vgg_keras.reports import run_sections
from vgg_keras.reports.page import Gallery


def shown(section):
    """Returns the pictures of a section's gallery as arrays."""
    (gallery,) = (block for block in section.blocks if isinstance(block, Gallery))
    encoded = [base64.b64decode(picture.address.partition(",")[2]) for picture in gallery.pictures]
    return [np.asarray(Image.open(io.BytesIO(data)).convert("L"), int) for data in encoded]


def test_the_training_photos_of_a_localizer_have_the_boxes_that_it_was_to_tell():
    grey = np.full((2, 64, 64, 3), 128, np.float32)
    # The box of the first reaches past the crop; the second shows no object.
    boxes = np.array([[0.25, 0.5, 0.75, 1.5], [0, 0, 0, 0]], np.float32)
    first, second = shown(run_sections.training_photos(grey, ["cat", "dog"], boxes))
    assert np.abs(second - 128).max() <= 3
    # The object of which a crop shows most may lie beside it.
    (beside,) = shown(run_sections.training_photos(grey[:1], ["cat"], np.array([[0.2, -0.5, 0.8, -0.1]], np.float32)))
    assert np.abs(beside - 128).max() <= 3
    # A black line at the box, and a white one inside it; JPEG blurs them.
    for row, column in ((16, 50), (47, 50), (30, 32), (30, 63)):
        assert first[row, column] < 80, (row, column)
    for row, column in ((17, 50), (46, 50), (30, 33), (30, 62)):
        assert first[row, column] > 170, (row, column)
    for untouched in (first[:12], first[24:40, 40:56]):
        assert np.abs(untouched - 128).max() <= 3


def test_the_training_photos_of_a_classifier_are_as_they_are():
    (picture,) = shown(run_sections.training_photos(np.full((1, 64, 64, 3), 300, np.float32), ["cat"]))
    assert picture.min() >= 253
