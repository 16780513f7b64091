"""Measures the package's dense inference against the bare fully convolutional net.

Averaging the class-score map over its positions, the softmax and the handling of mirror images are what the package
does beside the net (arXiv:1409.1556, sect. 3.2). Each side has its own process.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side

_WAYS = {"one view": False, "with mirror image": True}


def make_ours(model_path: Path, shape: tuple[int, int]) -> Mapping[str, Side]:
    """Returns the sides of the package: seconds for a photo of a shape, by the name of the way."""
    from vgg_keras.inference.posteriors import DistributedPredictor
    from vgg_keras.models import fully_convolutional, saving
    from vgg_keras.utils import devices

    strategy, _ = devices.make_strategy("one_device")
    with strategy.scope():
        net = fully_convolutional.convert(saving.load_model(model_path))
    predictors = {way: DistributedPredictor(net, strategy, flip=flip) for way, flip in _WAYS.items()}
    photo = _photo(shape)
    return {way: sides.timed(functools.partial(predictor, photo)) for way, predictor in predictors.items()}


def make_bare(model_path: Path, shape: tuple[int, int]) -> Mapping[str, Side]:
    """Returns the sides of the bare net: seconds for a photo of a shape, by the name of the way."""
    import keras
    import tensorflow as tf

    from vgg_keras.models import fully_convolutional

    net = fully_convolutional.convert(keras.saving.load_model(model_path))
    photo = _photo(shape)
    mirrored = tf.reverse(photo, axis=[2])

    def one_view() -> None:
        net.predict_on_batch(photo)

    def both_views() -> None:
        net.predict_on_batch(photo)
        net.predict_on_batch(mirrored)

    return {way: sides.timed(both_views if flip else one_view) for way, flip in _WAYS.items()}


def _photo(shape: tuple[int, int]):
    """Returns a photo as the net takes it: (1, H, W, 3) float32, 0..255."""
    import tensorflow as tf

    return tf.random.stateless_uniform((1, *shape, 3), (0, 0), 0, 255)


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: net D on a photo at Q = 256, or quickly one of 1/16 of the width."""
    width, shape = (1 / 16, (256, 256)) if settings.quick else (1.0, (256, 341))
    path = materials.net_file(settings, "D", num_classes=1000, width_multiplier=width)
    with sides.in_process(make_ours, path, shape) as ours, sides.in_process(make_bare, path, shape) as bare:
        name = f"net D, width {width:g}, a photo of {shape[1]}x{shape[0]}"
        yield [Figure(name=f"{name}, {way}", ours=ours[way], peer=bare[way]) for way in _WAYS]


BENCHMARK = Benchmark(
    ours="DistributedPredictor on the converted net, from a photo to its posteriors",
    peer="predict_on_batch of the same converted net, from a photo to its class-score map",
    prepare=prepare,
)
