"""What a run trains and validates on: augmented images, or the frozen layers' outputs for them."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.training import feature_cache, run_dir, train_step
from vgg_keras.training.config import TrainOptions


@dataclasses.dataclass(frozen=True)
class Batches:
    """How a run opens its batches.

    Attributes:
        training: of an epoch, from a step on.
        validation: of the validation split.
    """

    training: Callable[[int, int], Iterable]
    validation: Callable[[], Iterable]


def of_images(flags: TrainOptions, data: datasets.ImageData, rgb: RgbStatistics, compiled: train_step.Steps) -> Batches:
    """Returns batches of augmented images, and of centre crops for validation."""
    augmentation = input_pipeline.Augmentation(flags.view_side(), flags.scale_range(), rgb, flags.rgb_shift)

    def training(epoch: int, first_step: int) -> Iterable:
        arguments = {"seed": flags.seed, "epoch": epoch, "first_step": first_step}
        make = functools.partial(input_pipeline.training_epoch, data, flags.train_split, augmentation, **arguments)
        return input_pipeline.distribute(compiled.strategy, flags.batch_size, make)

    def validation() -> Iterable:
        arguments = {"smallest_side": flags.test_scale(), "crop_size": flags.input_size}
        make = functools.partial(input_pipeline.evaluation_batches, data, flags.validation_split, **arguments)
        return input_pipeline.distribute(compiled.strategy, compiled.evaluation_batch_size, make)

    return Batches(training, validation)


def to_be_cached(
    flags: TrainOptions, data: datasets.ImageData, images: Batches, compiled: train_step.Steps
) -> feature_cache.FeatureCache:
    """Returns the cache of the frozen layers' outputs for what `images` opens; it is still to be filled."""
    in_training = data.num_images(flags.train_split), flags.batch_size, flags.view_side()
    in_validation = data.num_images(flags.validation_split), compiled.evaluation_batch_size, flags.input_size
    views = [
        feature_cache.Source(f"view{view + 1}", functools.partial(images.training, view), *in_training)
        for view in range(flags.cache_views)
    ]
    validation = feature_cache.Source(
        "validation", lambda first_step: itertools.islice(images.validation(), first_step, None), *in_validation
    )
    folder = Path(flags.output_dir) / run_dir.CACHE
    return feature_cache.FeatureCache(folder, compiled, views, validation, seed=flags.seed)
