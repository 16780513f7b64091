"""Tests the search for photos, and their captions."""

import numpy as np

from vgg_keras.data import photo_files


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
