"""Tests the captions of photos."""

import numpy as np

from vgg_keras.data import photo_files


def test_the_annotation_of_a_narrow_photo_is_readable():
    picture = photo_files.annotate(np.zeros((50, 8, 3), np.uint8), ["a rather long label 0.987"])
    assert picture.width > 100
