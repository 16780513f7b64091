"""Compares the time of dense evaluation with that of 150 crops, and both with their multiply-adds.

    python -m benchmarks.dense_evaluation --data_dir=data/imagenet --net=A

Tests the first few images of a split at three scales with mirror images, as `vgg_keras.evaluate` does (with reading,
decoding and rescaling), alternately with dense evaluation and with 5x5 crops at each scale. Compares the ratio of the
times with the ratio of the multiply-adds, and the dense time of images of mixed shapes with that of square images of
the same cost. The weights are random, since they do not change the cost.

Predicted: dense evaluation takes at least 1.2 times as long as its multiply-adds allow, since FC6 as a convolution over
a small map seemed unfavourable for the CPU's kernels. It was not: measured alone, FC6 was as fast as the matrix product
over extracted patches, 34e9 multiply-adds a second on maps up to 16x21.

Measured on six ImageNet photos of six shapes, net A, two CPU cores (only the ratios count): 150 crops cost 4.37 times
the multiply-adds of dense evaluation and took 4.82 times as long, so dense evaluation takes 0.91 times as long as its
multiply-adds allow; and it took 1.08 times as long as square images of the same cost would.
"""

import dataclasses
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import datasets
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.data.transforms import rescaled_size
from vgg_keras.inference.batch_predict import predict_split
from vgg_keras.inference.posteriors import DistributedPredictor
from vgg_keras.inference.protocol import DENSE, MULTI_CROP
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models import fully_convolutional, vgg
from vgg_keras.models.architectures import NETS
from vgg_keras.utils import cli, devices
from vgg_keras.utils.options import Options, option
from vgg_keras.utils.resumable_array import ResumableArray

_CROP = 224


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Flags of the benchmark."""

    data_dir: str = option("", "a data set written by data_prep", required=True)
    split: str = option("validation", "the split")
    net: str = option("A", "the net", choices=tuple(NETS))
    width_multiplier: float = option(1.0, "scales the channels of every hidden layer", lower=0.0)
    test_scales: str = option("256,384,512", "test scales")
    num_images: int = option(8, "images", lower=1)
    batch_size: int = option(32, "crops at a time", lower=1)
    repeats: int = option(2, "how often each way is timed; the best time counts", lower=1)


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


def time_test(
    predictor: DistributedPredictor, manifest: SplitManifest, method: str, options: BenchmarkOptions
) -> float:
    """Returns the seconds that one test of all images at all scales takes, by DENSE or MULTI_CROP."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for side in map(int, options.test_scales.split(",")):
            predict_split(
                ResumableArray(Path(folder) / f"{side}.npy", len(manifest), predictor.width),
                predictor,
                manifest,
                ViewSpec(method, side, _CROP, options.batch_size),
                title=f"{method} Q={side}",
                model_name=options.net,
            )
    return time.perf_counter() - started


def square_rate(predictor: DistributedPredictor, net: keras.Model, side: int, batch_size: int) -> float:
    """Returns the multiply-adds per second on a batch of square images in memory, the best of three runs.

    Args:
        predictor: the predictor of the net.
        net: the fully convolutional net.
        side: side of the images in pixels.
        batch_size: number of crops that have as many pixels as the batch.
    """
    count = int(ViewSpec(DENSE, side, _CROP, batch_size).images_per_batch(side, side))
    images = tf.random.stateless_uniform((count, side, side, 3), (0, side), 0, 255)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        predictor(images)
        seconds.append(time.perf_counter() - started)
    return 2 * count * multiply_adds(net, side, side) / min(seconds)


def main(options: BenchmarkOptions) -> None:
    """Prints the seconds and multiply-adds of both methods, and compares the ratios."""
    strategy, _ = devices.make_strategy("one_device")
    data = datasets.open_data(options.data_dir)
    manifest = SplitManifest.read(data, options.split, options.num_images)
    glorot = vgg.Initialization("glorot", seed=0)
    source = vgg.build(
        options.net, len(data.class_names), width_multiplier=options.width_multiplier, initialization=glorot
    )
    net = fully_convolutional.convert(source)
    predictors = {DENSE: DistributedPredictor(net, strategy), MULTI_CROP: DistributedPredictor(source, strategy)}
    scales = [int(side) for side in options.test_scales.split(",")]
    # The factor 2: each view is computed as it is and mirrored.
    scale_costs = {
        side: 2 * sum(multiply_adds(net, *rescaled_size(size, side).numpy().tolist()) for size in manifest.sizes)
        for side in scales
    }
    crops = 2 * ViewSpec(MULTI_CROP, _CROP, _CROP).num_views * len(scales) * len(manifest)
    cost = {DENSE: sum(scale_costs.values()), MULTI_CROP: crops * multiply_adds(net, _CROP, _CROP)}
    for predictor in predictors.values():  # traces the functions, so that tracing is not timed
        predictor(tf.zeros((1, _CROP, _CROP, 3)))
    best = dict.fromkeys(predictors, float("inf"))
    for _ in range(options.repeats):
        for method, predictor in predictors.items():
            best[method] = min(best[method], time_test(predictor, manifest, method, options))
    as_squares = sum(
        amount / square_rate(predictors[DENSE], net, side, options.batch_size) for side, amount in scale_costs.items()
    )
    for method in predictors:
        rate = cost[method] / best[method] / 1e9
        print(f"{method}: {best[method]:.1f} s, {cost[method] / 1e12:.2f}e12 multiply-adds, {rate:.0f}e9 a second")
    allowed, reached = cost[MULTI_CROP] / cost[DENSE], best[MULTI_CROP] / best[DENSE]
    print(
        f"{crops // len(manifest)} crops: {allowed:.2f} times the multiply-adds of dense, {reached:.2f} times the time;"
    )
    print(f"dense takes {allowed / reached:.2f} times what its multiply-adds allow")
    shapes = len(set(map(tuple, manifest.sizes)))
    print(
        f"square images would take {as_squares:.1f} s: {shapes} shapes take {best[DENSE] / as_squares:.2f} times that"
    )


if __name__ == "__main__":
    cli.run(main, BenchmarkOptions)
