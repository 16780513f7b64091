"""Measures how much faster it is to decode only the part of an image that a crop needs.

`transforms.decode_rescaled_window` decodes only the window that the crop comes from and resizes it. Other ways decode
the whole photo, rescale and crop it: with the package's own functions, which gives the same pixels
(tests/data/test_transforms.py), and as TensorFlow's examples do, with antialiasing and without, as is its default. The
ceiling is to decode the pixels under the crop and to do nothing else.

Predicted: at least as fast as the plain way without antialiasing, and twice as fast as with it, for S in 256..512; at
S = 256 slower than without, since the window is most of the photo and is decoded to the same precision. Of photos that
were prepared at the training scale, the crop is cut out without resizing: faster than the plain way, which does not
notice, and the more so the smaller they are.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import tensorflow as tf

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from data_prep import image_preparation
from vgg_keras.data import transforms
from vgg_keras.data.untuned import ahead, in_parallel


@dataclasses.dataclass(frozen=True)
class Case:
    """What is cropped.

    Attributes:
        scale_range: (Smin, Smax) of the training scale in pixels.
        crop: side of the crop in pixels.
        prepared_side: the smaller side to which the photos were shrunk before, in pixels; None: as they are.
        passes: number of passes over the photos in one go, since the start of an iterator, in which TensorFlow
            optimizes its graph, takes long; small photos need more of them.
    """

    scale_range: tuple[int, int]
    crop: int = 224
    prepared_side: int | None = None
    passes: int = 3

    def __str__(self) -> str:
        low, high = self.scale_range
        scale = f"S = {low}" if low == high else f"S in [{low}, {high}]"
        return scale + (f", of photos prepared at {self.prepared_side}" if self.prepared_side else "")


_CASES = (
    Case((256, 256)),
    Case((384, 384)),
    Case((256, 512)),
    Case((256, 256), prepared_side=256),
    Case((32, 32), crop=32, prepared_side=32, passes=40),
    Case((40, 40), crop=32, prepared_side=32, passes=40),
)
_PHOTOS, _QUICK_PHOTOS = 250, 8
_BATCH = 32

# From an encoded image, () string, S and the side of the crop in pixels, and a seed, to what becomes of it,
# (crop, crop, 3) float32 or uint8.
Crop = Callable[[tf.Tensor, tf.Tensor, int, tf.Tensor], tf.Tensor]


def window_only(image_bytes: tf.Tensor, smallest_side: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Decodes and resizes only the window of the crop, and rounds it to uint8, as training does."""
    size = transforms.encoded_size(image_bytes)
    offset = transforms.random_offset(transforms.rescaled_size(size, smallest_side), side, seed)
    crop = transforms.decode_rescaled_window(image_bytes, size, smallest_side, offset, side)
    return transforms.to_uint8(crop)


def whole_image(image_bytes: tf.Tensor, smallest_side: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Decodes and rescales the whole image, then cuts out the same crop."""
    return transforms.random_crop(transforms.rescale(transforms.decode(image_bytes), smallest_side), side, seed)


def _plain(antialias: bool) -> Crop:
    """Returns the way of TensorFlow's examples: all of it with the functions of `tf.io` and `tf.image`."""

    def crop(image_bytes: tf.Tensor, smallest_side: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(image_bytes, channels=3)
        size = transforms.rescaled_size(tf.shape(image)[:2], smallest_side)
        rescaled = tf.image.resize(image, size, antialias=antialias)
        return tf.image.stateless_random_crop(rescaled, (side, side, 3), seed)

    return crop


def decode_alone(image_bytes: tf.Tensor, smallest_side: tf.Tensor, side: int, seed: tf.Tensor) -> tf.Tensor:
    """Decodes the pixels under the crop, without the margin that a filter needs: -> () uint8, the largest of them."""
    size = transforms.encoded_size(image_bytes)
    target = transforms.rescaled_size(size, smallest_side)
    offset = transforms.random_offset(target, side, seed)
    begin, end = offset * size // target, -(-(offset + side) * size // target)
    return tf.reduce_max(transforms.decode_window(image_bytes, begin, end))


_OURS, _CEILING = "the crop's window", "decode alone"
_PEERS = {
    "the whole photo, same pixels": whole_image,
    "tf.image with antialiasing": _plain(antialias=True),
    "tf.image without antialiasing": _plain(antialias=False),
}
_WAYS = {_OURS: window_only, **_PEERS, _CEILING: decode_alone}


def make_sides(data_dir: str, num_photos: int, case: Case) -> Mapping[str, Side]:
    """Returns the sides, seconds for some passes over encoded photos in memory, by their names.

    Args:
        data_dir: the data set, whose training split is read.
        num_photos: number of photos.
        case: what is cropped.
    """
    photos = materials.read_photos(data_dir, "train", num_photos)
    if case.prepared_side:
        shrink = image_preparation.Preparation(smallest_side=case.prepared_side)
        photos = [image_preparation.prepare(photo, shrink).image_bytes for photo in photos]
    return {name: sides.timed(_passes(photos, crop, case)) for name, crop in _WAYS.items()}


def _passes(photos: Sequence[bytes], crop: Crop, case: Case) -> Callable[[], None]:
    def augment(index: tf.Tensor, image_bytes: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([index, 0])
        return crop(image_bytes, transforms.random_scale(case.scale_range, seed), case.crop, seed)

    encoded = tf.data.Dataset.from_tensor_slices(list(photos)).repeat(case.passes).enumerate()
    # Without the tuner, which would hold up the end of some passes, whatever is cropped.
    batches = ahead(in_parallel(encoded, augment).batch(_BATCH))

    def read_all() -> None:
        for _ in batches:
            pass

    return read_all


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields a figure for each case and peer."""
    count = _QUICK_PHOTOS if settings.quick else _PHOTOS
    data_dir = str(materials.data_set(settings, training=count, validation=2))
    with contextlib.ExitStack() as processes:
        figures = []
        for case in _CASES:
            made = processes.enter_context(sides.in_process(make_sides, data_dir, count, case))
            figures += [
                Figure(name=f"{case}, against {peer}", ours=made[_OURS], peer=made[peer], ceiling=made[_CEILING])
                for peer in _PEERS
            ]
        yield figures


BENCHMARK = Benchmark(
    ours="decode_rescaled_window: only the window of a random crop is decoded and resized",
    peer="the whole photo is decoded, rescaled and cropped",
    ceiling="only to decode the pixels under the crop",
    prepare=prepare,
)
