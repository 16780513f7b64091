"""Compares the time of dense evaluation with that of 150 crops, and both with their multiply-adds.

Tests the first few images of a split at three scales with mirror images, as `vgg_keras.evaluate` does (with reading,
decoding and rescaling), alternately with dense evaluation and with 5x5 crops at each scale; the ceiling is the ratio of
the multiply-adds. Then compares the dense time of images of mixed shapes with that of square images in memory of the
same cost. The weights are random, since they do not change the cost.

Predicted: dense evaluation takes at least 1.2 times as long as its multiply-adds allow, since FC6 as a convolution over
a small map seemed unfavourable for the CPU's kernels. It was not: measured alone, FC6 was as fast as the matrix product
over extracted patches, 34e9 multiply-adds a second on maps up to 16x21.

Measured on six ImageNet photos of six shapes, net A, two CPU cores (only the ratios count): 150 crops cost 4.37 times
the multiply-adds of dense evaluation and took 4.82 times as long, so dense evaluation takes 0.91 times as long as its
multiply-adds allow; and it took 1.08 times as long as square images of the same cost would.
"""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.data import datasets
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.data.transforms import rescaled_size
from vgg_keras.inference.batch_predict import predict_split
from vgg_keras.inference.posteriors import DistributedPredictor
from vgg_keras.inference.protocol import DENSE, MULTI_CROP
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models import fully_convolutional, vgg
from vgg_keras.utils import cli, devices

_CROP = 224
_NET = "A"
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Work:
    """What is tested.

    Attributes:
        data_dir: a data set, whose split validation is tested.
        num_images: number of images, from the first on.
        width: factor of the width of the net.
        scales: test scales in pixels.
    """

    data_dir: str
    num_images: int = 6
    width: float = 1.0
    scales: tuple[int, ...] = (256, 384, 512)


def multiply_adds(net: keras.Model, height: int, width: int) -> int:
    """Returns the number of multiply-adds of a fully convolutional net on one image.

    Args:
        net: the net.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    total = 0
    for layer in net.layers:
        if isinstance(layer, keras.layers.MaxPooling2D):
            height, width = height // 2, width // 2
        elif isinstance(layer, keras.layers.Conv2D):
            kernel = layer.get_weights()[0].shape
            if layer.padding == "valid":
                height, width = height - kernel[0] + 1, width - kernel[1] + 1
            total += height * width * int(np.prod(kernel))
    return total


def make_sides(work: Work) -> Mapping[str, Callable[[], Any]]:
    """Returns the sides, seconds for the whole work, by their names, and "allowed": the ratio of the multiply-adds."""
    strategy, _ = devices.make_strategy("one_device")
    with cli.quiet_logs():
        data = datasets.open_data(work.data_dir)
        manifest = SplitManifest.read(data, "validation", work.num_images)
    glorot = vgg.Initialization("glorot", seed=0)
    source = vgg.build(_NET, len(data.class_names), width_multiplier=work.width, initialization=glorot)
    net = fully_convolutional.convert(source)
    predictors = {DENSE: DistributedPredictor(net, strategy), MULTI_CROP: DistributedPredictor(source, strategy)}
    for predictor in predictors.values():  # traces the functions, so that tracing is not timed
        predictor(tf.zeros((1, _CROP, _CROP, 3)))
    # The factor 2: each view is computed as it is and mirrored.
    costs = {
        side: 2 * sum(multiply_adds(net, *rescaled_size(size, side).numpy().tolist()) for size in manifest.sizes)
        for side in work.scales
    }
    crops = 2 * ViewSpec(MULTI_CROP, _CROP, _CROP).num_views * len(work.scales) * len(manifest)
    allowed = crops * multiply_adds(net, _CROP, _CROP) / sum(costs.values())
    tests = {
        method: sides.timed(functools.partial(_test, predictor, manifest, method, work.scales))
        for method, predictor in predictors.items()
    }
    squares = _squares(predictors[DENSE], net, costs)
    squares()  # makes the kernels for these shapes
    return {**tests, "squares": squares, "allowed": lambda: allowed}


def _test(predictor: DistributedPredictor, manifest: SplitManifest, method: str, scales: Sequence[int]) -> None:
    """Tests all images at all scales, by DENSE or MULTI_CROP."""
    with tempfile.TemporaryDirectory() as folder:
        for side in scales:
            predict_split(
                Path(folder) / f"{side}.npy",
                predictor,
                manifest,
                ViewSpec(method, side, _CROP, _BATCH),
                title=f"{method} Q={side}",
                model_name=_NET,
            )


def _squares(predictor: DistributedPredictor, net: keras.Model, costs: Mapping[int, int]) -> Side:
    """Returns the side of square images in memory: seconds for as many multiply-adds at each scale as are given.

    Args:
        predictor: the predictor of the net.
        net: the fully convolutional net.
        costs: multiply-adds by the scale in pixels.
    """
    counts = {side: int(ViewSpec(DENSE, side, _CROP, _BATCH).images_per_batch(side, side)) for side in costs}

    def seconds() -> float:
        total = 0.0
        for side, cost in costs.items():
            images = tf.random.stateless_uniform((counts[side], side, side, 3), (0, side), 0, 255)
            measured = sides.timed(functools.partial(predictor, images))()
            total += measured * cost / (2 * counts[side] * multiply_adds(net, side, side))
        return total

    return seconds


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: six images and three scales, or quickly two images, one scale and a narrow net."""
    count = 2 if settings.quick else 6
    data_dir = str(materials.data_set(settings, training=2, validation=count))
    work = Work(data_dir, count, width=1 / 16, scales=(256,)) if settings.quick else Work(data_dir, count)
    with sides.in_process(make_sides, work) as made:
        name = f"{count} images, Q = {', '.join(map(str, work.scales))}"
        crops = 25 * 2 * len(work.scales)
        dense = made[DENSE]
        yield [
            Figure(name=f"{name}, against {crops} crops", ours=dense, peer=made[MULTI_CROP], ceiling=made["allowed"]()),
            Figure(name=f"{name}, against square images", ours=dense, peer=made["squares"]),
        ]


BENCHMARK = Benchmark(
    ours=f"dense evaluation by net {_NET} with mirror images, from the records on",
    peer="crops in a 5x5 grid with mirror images, or square images in memory that cost as much",
    ceiling="the ratio of the multiply-adds",
    warm_ups=0,
    prepare=prepare,
)
