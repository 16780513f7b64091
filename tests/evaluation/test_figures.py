"""Tests the position of a class-score map on its image, and the size of pictures."""

import numpy as np
from PIL import Image

from vgg_keras.evaluation import figures
from vgg_keras.evaluation.figures import Captioned, MappedImage


def test_a_position_is_drawn_in_the_middle_of_what_it_sees():
    # The middle 32 of 224 pixels are 96..128. Two rows and four columns extend to 96 + 2 * 32 and 96 + 4 * 32.
    assert figures.map_extent((2, 4), 224) == (96, 224, 160, 96)
    assert figures.map_extent((1, 1), 64) == (16, 48, 48, 16)


def test_pictures_are_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    posteriors = np.full((1, 2, 3), 1 / 3)
    pictures = {
        "confusion": figures.confusion_matrix(np.array([[5, 1], [0, 7]]), ["a", "b"], ["a", "b"]),
        "errors": figures.errors_by_class(["a", "b" * 90], [16.7, 0.0], 8.3),
        "gallery": figures.gallery([Captioned(image, "a")] * 5),
        "maps": figures.class_score_maps([MappedImage(image, posteriors, "a", [(0, "a"), (2, "c")])], 64),
    }
    for name, figure in pictures.items():
        figures.save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as written:
            assert min(written.size) > 100
            assert max(written.size) < 2000
    assert len(list(tmp_path.iterdir())) == 4


def test_the_map_is_drawn_over_its_place():
    posteriors = np.zeros((2, 3, 2))
    figure = figures.class_score_maps([MappedImage(np.zeros((96, 128, 3), np.uint8), posteriors, "", [(1, "b")])], 64)
    photo, score_map = figure.axes[1].get_images()
    assert tuple(photo.get_extent()) == (-0.5, 127.5, 95.5, -0.5)
    assert tuple(score_map.get_extent()) == (16, 112, 80, 16)
    assert figure.axes[1].get_title() == "posterior of b"
