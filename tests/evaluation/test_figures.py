"""Tests what class-score maps are drawn over, and the size of pictures."""

import numpy as np
from PIL import Image

from vgg_keras.evaluation import figures
from vgg_keras.evaluation.figures import Captioned, MappedPhoto


def test_pictures_are_written(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    mapped = MappedPhoto(image, np.full((64, 96, 2), 0.5), "a", ["b", "c"])
    pictures = {
        "confusion": figures.confusion_matrix(np.array([[5, 1], [0, 7]]), ["a", "b"], ["a", "b"]),
        "errors": figures.errors_by_class(["a", "b" * 90], [16.7, 0.0], 8.3),
        "gallery": figures.gallery([Captioned(image, "a")] * 5),
        "maps": figures.class_score_maps([mapped]),
    }
    for name, figure in pictures.items():
        figures.save(figure, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as written:
            assert min(written.size) > 100
            assert max(written.size) < 2000
    assert len(list(tmp_path.iterdir())) == 4


def test_the_maps_are_drawn_over_the_whole_photo():
    heat_maps = np.stack([np.full((96, 128), 0.25), np.full((96, 128), 0.75)], axis=-1)
    mapped = MappedPhoto(np.zeros((96, 128, 3), np.uint8), heat_maps, "file.jpg", ["a 0.25", "b 0.75"])
    single = MappedPhoto(np.zeros((50, 40, 3), np.uint8), np.zeros((50, 40, 1)), "other.jpg", ["a 0.10"])
    figure = figures.class_score_maps([mapped, single])
    assert [axes.get_title() for axes in figure.axes[:6]] == ["file.jpg", "a 0.25", "b 0.75", "other.jpg", "a 0.10", ""]
    # viridis has (59, 82, 139) at a quarter and (94, 201, 98) at three quarters; the grey of black is 90.
    for axes, mixture in zip(figure.axes[1:3], ((76, 86, 112), (92, 140, 94)), strict=True):
        (drawn,) = axes.get_images()
        assert tuple(drawn.get_extent()) == (-0.5, 127.5, 95.5, -0.5)
        np.testing.assert_allclose(drawn.get_array(), np.broadcast_to(mixture, (96, 128, 3)), atol=1)


def test_thumbnails_keep_their_shape():
    assert figures.thumbnail(np.zeros((640, 960, 3), np.uint8)).shape == (320, 480, 3)
    assert figures.thumbnail(np.zeros((50, 40, 3), np.uint8)).shape == (50, 40, 3)


def test_a_heat_map_over_a_photo():
    photo = np.zeros((2, 2, 3), np.uint8)
    photo[1] = 255
    heat = np.array([[0.0, 1.0], [0.0, 1.0]])
    # viridis begins at (68, 1, 84) and ends at (253, 231, 37). The grey of black is 90, that of white 255; the map has
    # 45% of the mixture.
    expected = [
        [[80, 50, 87], [163, 153, 66]],
        [[171, 141, 178], [254, 244, 157]],
    ]
    np.testing.assert_allclose(figures.overlay(photo, heat), expected, atol=1)
