"""Tests the views that nets are shown: their windows, their grouping by shape, and that each image comes once."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import encoded_images, photo, write_photos
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference.views import ViewSpec, batch_groups, view_batches
from vgg_keras.utils.errors import UserError


def views(data, method, side, *, crop_size=224, batch_size=32, wanted=None):
    manifest = SplitManifest.read(data, "validation")
    wanted = np.ones(len(manifest), bool) if wanted is None else wanted
    batches = view_batches(manifest, wanted, ViewSpec(method, side, crop_size, batch_size))
    return [(batch["image"].numpy(), batch["index"].numpy()) for batch in batches]


# Tops and lefts of the 5x5 grid of crops of 224x224, worked out by hand. At Q = 256 an image of 500x375 has 341x256
# pixels, which leave 32 and 117 for four steps; 58.5 and 87.75 are rounded to 59 and 88. At 384 it has 512x384, which
# leave 160 and 288; at 512 it has 683x512 (682.67), which leave 288 and 459, the latter in steps of 114.75.
WINDOWS = {
    256: ((0, 8, 16, 24, 32), (0, 29, 59, 88, 117)),
    384: ((0, 40, 80, 120, 160), (0, 72, 144, 216, 288)),
    512: ((0, 72, 144, 216, 288), (0, 115, 230, 344, 459)),
}


def test_the_150_crops(tmp_path):
    data = write_photos([photo(0, (500, 375))] * 6, tmp_path / "data")
    (image_bytes, *_) = encoded_images(data)
    only_first = np.arange(6) == 0
    count = 0
    for side, (tops, lefts) in WINDOWS.items():
        crops = np.concatenate([crops for crops, _ in views(data, "multi_crop", side, batch_size=7, wanted=only_first)])
        whole = numpy_net.rescaled(image_bytes, side)
        expected = [whole[top : top + 224, left : left + 224] for top in tops for left in lefts]
        np.testing.assert_allclose(crops, expected, atol=0.01)
        count += 2 * len(crops)  # the mirror image of each counts too
    assert count == 150


def test_images_of_equal_shape_come_together_and_each_once(tmp_path):
    sizes = [(90, 64), (64, 64), (90, 64), (64, 90), (64, 64), (90, 64), (45, 32), (90, 64)]
    data = write_photos([photo(index, size) for index, size in enumerate(sizes)], tmp_path / "data")
    manifest = SplitManifest.read(data, "validation")
    shapes = [tuple(size) for size in manifest.sizes]
    # 3 crops of 64x64 have 12,288 pixels: enough for two images of 90x64 or three of 64x64.
    batches = views(data, "dense", 64, crop_size=64, batch_size=3)
    assert sorted(index for _, indices in batches for index in indices) == list(range(8))
    found = sorted((images.shape[1:3], len(images)) for images, _ in batches)
    assert found == [((64, 64), 2), ((64, 90), 1), ((64, 90), 2), ((64, 90), 2), ((90, 64), 1)]
    for images, indices in batches:
        for image, index in zip(images, indices, strict=True):
            height, width = shapes[index]
            assert image.shape == (64 * height // min(height, width), 64 * width // min(height, width), 3)
            np.testing.assert_allclose(image, numpy_net.rescaled(encoded_images(data)[index], 64), atol=0.01)


@pytest.mark.parametrize(("method", "num_views"), [("dense", 1), ("multi_crop", 25), ("center_crop", 1)])
def test_only_wanted_images_are_shown(method, num_views, tmp_path):
    data = write_photos([photo(index, (80, 70)) for index in range(6)], tmp_path / "data")
    wanted = np.array([False, True, True, False, False, True])
    shown = [index for _, indices in views(data, method, 70, crop_size=64, wanted=wanted) for index in indices]
    assert sorted(shown) == sorted([1, 2, 5] * num_views)


@pytest.mark.parametrize(
    ("method", "batch_size", "expected"),
    [
        # At Q = 64 two of 90x64 have as many pixels as three crops, and three of 64x64.
        ("dense", 3, [{0, 2}, {1, 4}, {3}, {5, 7}, {6}]),
        ("center_crop", 3, [{0, 1, 2}, {3, 4, 5}, {6, 7}]),
        # 25 views of each image: six batches of 10 have no part of an image alone after two images.
        ("multi_crop", 10, [{0, 1}, {2, 3}, {4, 5}, {6, 7}]),
        ("multi_crop", 25, [{index} for index in range(8)]),
    ],
)
def test_images_of_the_same_batches_are_in_a_group_and_stay_in_these_batches(method, batch_size, expected, tmp_path):
    sizes = [(90, 64), (64, 64), (90, 64), (64, 90), (64, 64), (90, 64), (45, 33), (90, 64)]
    data = write_photos([photo(index, size) for index, size in enumerate(sizes)], tmp_path / "data", label=0)
    manifest = SplitManifest.read(data, "validation")
    groups = batch_groups(manifest, ViewSpec(method, 64, 64, batch_size))
    # The records may be in another order than the photos: the sets are of places among equal shapes.
    found = sorted([set(np.flatnonzero(groups == group).tolist()) for group in np.unique(groups)], key=min)
    if manifest.sizes.tolist() == [[height, width] for width, height in sizes] or method != "dense":
        assert found == expected
    assert sorted(map(len, found)) == sorted(map(len, expected))

    def batches(wanted):
        seen = views(data, method, 64, crop_size=64, batch_size=batch_size, wanted=wanted)
        return {tuple(indices.tolist()) for _, indices in seen}

    wanted = np.isin(groups, np.unique(groups)[::2])
    assert batches(wanted) == {batch for batch in batches(None) if wanted[list(batch)].any()}


def test_the_manifest(tmp_path):
    data = write_photos([photo(index, (30 + index, 20)) for index in range(8)], tmp_path / "data")
    manifest = SplitManifest.read(data, "validation")
    numbers = [int(name.removesuffix(".jpg")) for name in manifest.names]
    assert sorted(numbers) == list(range(8))
    assert manifest.labels.tolist() == [number % 6 for number in numbers]
    assert manifest.sizes.tolist() == [[20, 30 + number] for number in numbers]
    assert SplitManifest.read(data, "validation", max_images=3).names == manifest.names[:3]


@pytest.mark.parametrize(
    ("height", "width", "batch_size", "expected"),
    [(224, 224, 32, 32), (256, 341, 32, 18), (512, 683, 32, 4), (512, 683, 1, 1)],  # 32 * 50,176 / (256 * 341) = 18.4
)
def test_whole_images_fill_a_batch_of_crops(height, width, batch_size, expected):
    assert ViewSpec("dense", 256, 224, batch_size).images_per_batch(height, width) == expected


def test_boxes_are_cut_out_of_the_images_before_they_are_rescaled(tmp_path):
    data = write_photos([photo(0, (90, 64)), photo(1, (64, 90))] * 3, tmp_path / "data")
    whole = SplitManifest.read(data, "validation")
    with pytest.raises(
        UserError, match=r"its records are of images, not of objects with a box; data_prep\.voc --task=act"
    ):
        whole.cut_to_boxes()
    boxes = np.tile(np.array([[0.25, 0.1, 0.75, 0.7]], np.float32), (len(whole), 1))
    # A box of less than half a pixel at the lower right corner still has one.
    boxes[0] = [0.999, 0.999, 1, 1]
    boxed = dataclasses.replace(whole, boxes=boxes)
    cut = boxed.cut_to_boxes()
    assert boxed.identity() != whole.identity()
    expected = {(64, 90): [16, 9, 32, 54], (90, 64): [22, 6, 46, 39]}  # 22.5 and 67.5 are rounded to even ones
    assert cut.windows[0].tolist() == [whole.sizes[0][0] - 1, whole.sizes[0][1] - 1, 1, 1]
    assert cut.windows[1:].tolist() == [expected[tuple(size)] for size in whole.sizes[1:].tolist()]
    np.testing.assert_array_equal(cut.sizes, cut.windows[:, 2:])
    for method in ("dense", "center_crop"):
        for batch in view_batches(cut, np.arange(len(cut)) > 0, ViewSpec(method, 32, 32)):
            for view, index in zip(batch["image"].numpy(), batch["index"].numpy(), strict=True):
                top, left, height, width = cut.windows[index]
                decoded = Image.open(io.BytesIO(encoded_images(data)[index]))
                png = io.BytesIO()
                decoded.crop((left, top, left + width, top + height)).save(png, format="PNG")
                rescaled = numpy_net.rescaled(png.getvalue(), 32)
                start = [(side - 32) // 2 if method == "center_crop" else 0 for side in rescaled.shape[:2]]
                stop = [first + size for first, size in zip(start, view.shape[:2], strict=True)]
                np.testing.assert_allclose(view, rescaled[start[0] : stop[0], start[1] : stop[1]], atol=2.5)
