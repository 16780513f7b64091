"""Measures how much faster it is to decode only the part of an image that a crop needs.

    python -m benchmarks.input_pipeline --data_dir=data/imagenet

Decodes and crops the training split alternately in two ways: the whole image is decoded, rescaled and cropped; or
`transforms.decode_rescaled_window` decodes only the window that the crop comes from and resizes it. Both give the same
pixels (tests/data/test_transforms.py).

Predicted: 1.7 to 2 times as fast, since a crop at S = 256 needs about half of a photo's pixels, and fewer at a larger
S. Measured on 250 ImageNet photos and two CPU cores that were also busy with other work (only the ratio counts): 1.60
times as fast at S = 256, 1.77 at S = 384, 1.99 for S in 256..512.
"""

import dataclasses
import time
from collections.abc import Callable

import tensorflow as tf

from vgg_keras.data import datasets, transforms
from vgg_keras.utils import cli
from vgg_keras.utils.options import Options, option

_CROP = 224


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Flags of the benchmark."""

    data_dir: str = option("", "a data set written by data_prep", required=True)
    repeats: int = option(5, "how often each way is timed; the best time counts", lower=1)


def whole_image(image_bytes: tf.Tensor, smallest_side: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Decodes and rescales the whole image, then cuts out a random crop: () string -> (224, 224, 3) float32."""
    return transforms.random_crop(transforms.rescale(transforms.decode(image_bytes), smallest_side), _CROP, seed)


def window_only(image_bytes: tf.Tensor, smallest_side: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Decodes and resizes only the window of the same crop: () string -> (224, 224, 3) float32."""
    size = transforms.encoded_size(image_bytes)
    offset = transforms.random_offset(transforms.rescaled_size(size, smallest_side), _CROP, seed)
    return transforms.decode_rescaled_window(image_bytes, size, smallest_side, offset, _CROP)


def images_per_second(encoded: tf.data.Dataset, crop: Callable, scale_range: tuple[int, int]) -> float:
    """Times one pass over encoded images in memory.

    Args:
        encoded: result of `ImageData.encoded`, cached.
        crop: `whole_image` or `window_only`.
        scale_range: (Smin, Smax) of the training scale in pixels.

    Returns:
        Images per second.
    """

    def augment(index: tf.Tensor, example: dict) -> tf.Tensor:
        seed = tf.stack([index, 0])
        return crop(example["image_bytes"], transforms.random_scale(scale_range, seed), seed)

    dataset = encoded.enumerate().map(augment, tf.data.AUTOTUNE).batch(32).prefetch(2)
    started = time.perf_counter()
    count = sum(int(batch.shape[0]) for batch in dataset)
    return count / (time.perf_counter() - started)


def main(options: BenchmarkOptions) -> None:
    """Prints the images per second of both ways, measured alternately, and their ratio."""
    encoded = datasets.open_data(options.data_dir).encoded("train").cache()
    for _ in encoded:  # fills the cache
        pass
    for scale_range in ((256, 256), (384, 384), (256, 512)):
        best = {whole_image: 0.0, window_only: 0.0}
        for _ in range(options.repeats):
            for crop, fastest in best.items():
                best[crop] = max(fastest, images_per_second(encoded, crop, scale_range))
        whole, window = best.values()
        print(f"S={scale_range}: whole {whole:.0f}, window {window:.0f} images/s; ratio {window / whole:.2f}")


if __name__ == "__main__":
    cli.run(main, BenchmarkOptions)
