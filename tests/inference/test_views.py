"""What the nets are shown: windows worked out by hand, shapes together, every image once."""

import numpy as np
import pytest

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import encoded_images, photo, write_photos
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference.views import ViewSpec, view_batches


def views(data, method, side, *, crop_size=224, batch_size=32, wanted=None):
    manifest = SplitManifest.read(data, "validation")
    wanted = np.ones(len(manifest), bool) if wanted is None else wanted
    batches = view_batches(manifest, wanted, ViewSpec(method, side, crop_size, batch_size))
    return [(batch["image"].numpy(), batch["index"].numpy()) for batch in batches]


# 500x375 at Q = 256 is 341x256: 32 and 117 pixels of room in four steps; 87.75 and 58.5 are rounded half up. At 384 it
# is 512x384: 160 and 288. At 512 it is 683x512 (682.67): 288 and 459, in steps of 114.75.
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
        count += 2 * len(crops)  # each is also seen mirrored
    assert count == 150


def test_images_of_equal_shape_come_together_and_each_once(tmp_path):
    sizes = [(90, 64), (64, 64), (90, 64), (64, 90), (64, 64), (90, 64), (45, 32), (90, 64)]
    data = write_photos([photo(index, size) for index, size in enumerate(sizes)], tmp_path / "data")
    manifest = SplitManifest.read(data, "validation")
    shapes = [tuple(size) for size in manifest.sizes]
    # 3 crops of 64x64 are 12,288 pixels: two images of 90x64, three of 64x64.
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
