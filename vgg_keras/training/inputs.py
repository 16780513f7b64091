"""Opens the batches that a run trains and validates on: augmented images, or the frozen layers' outputs for them."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from vgg_keras.data import input_pipeline, shards
from vgg_keras.data.data_service import DataService
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.models import run_record
from vgg_keras.models.preparation import SQUASH
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.feature_cache import CachedSource, FeatureCache
from vgg_keras.training.train_step import TrainStep


@dataclasses.dataclass(frozen=True)
class Batches:
    """The batches of a run.

    Attributes:
        training: function from (epoch, first step) to the batches of the epoch from that step on.
        validation: function to the batches of the validation split.
    """

    training: Callable[[int, int], Iterable]
    validation: Callable[[], Iterable]


def augmentation(config: TrainConfig, rgb: RgbStatistics) -> input_pipeline.Augmentation:
    """Returns the augmentation of a run's training images.

    Args:
        config: settings of the run.
        rgb: mean and covariance of the training split's RGB.
    """
    return input_pipeline.Augmentation(config.view_side(), config.crop_scales(), rgb, config.rgb_shift)


def image_batches(config: TrainConfig, data: ImageData, rgb: RgbStatistics, train_step: TrainStep) -> Batches:
    """Returns the batches of a run: augmented images for training, centre crops or squashed images for validation.

    Args:
        config: settings of the run.
        data: the data set.
        rgb: mean and covariance of the training split's RGB.
        train_step: step that takes the batches, which are distributed over its replicas.

    Raises:
        LostWorkerError: --data_service does not answer.
    """
    with_boxes = config.box_kind() is not None
    augment = augmentation(config, rgb)
    address = config.service_address()
    service = DataService(address, config.worker_timeout) if address else None
    open_epoch = service.training_epoch if service else input_pipeline.training_epoch

    def training(epoch: int, first_step: int) -> Iterable:
        make = functools.partial(
            open_epoch,
            data,
            config.train_split,
            augment,
            seed=config.seed,
            epoch=epoch,
            first_step=first_step,
            with_boxes=with_boxes,
        )
        num_steps = input_pipeline.steps_per_epoch(data, config.train_split, config.batch_size) - first_step
        batches = input_pipeline.distribute(train_step.strategy, config.batch_size, num_steps, make)
        return shards.read(data, service.telling_failures(batches) if service else batches)

    def validation() -> Iterable:
        make = functools.partial(
            input_pipeline.evaluation_batches,
            data,
            config.validation_split,
            smallest_side=None if config.validation_resize == SQUASH else config.test_scale(),
            crop_size=config.input_size,
            with_boxes=with_boxes,
        )
        batch_size = train_step.evaluation_batch_size
        num_steps = input_pipeline.steps_per_epoch(data, config.validation_split, batch_size)
        return shards.read(data, input_pipeline.distribute(train_step.strategy, batch_size, num_steps, make))

    return Batches(training, validation)


def make_feature_cache(config: TrainConfig, data: ImageData, images: Batches, train_step: TrainStep) -> FeatureCache:
    """Returns the cache of the frozen layers' outputs, not yet filled.

    Args:
        config: settings of the run.
        data: the data set.
        images: result of `image_batches`.
        train_step: step that computes the outputs.
    """
    num_training, num_validation = (data.num_images(split) for split in (config.train_split, config.validation_split))
    views = [
        CachedSource(
            f"view{view + 1}",
            functools.partial(images.training, view),
            num_images=num_training,
            batch_size=config.batch_size,
            side=config.view_side(),
        )
        for view in range(config.cache_views)
    ]
    validation = CachedSource(
        "validation",
        lambda first_step: itertools.islice(images.validation(), first_step, None),
        num_images=num_validation,
        batch_size=train_step.evaluation_batch_size,
        side=config.input_size,
    )
    folder = Path(config.output_dir) / run_record.CACHE
    with_boxes = config.box_kind() is not None
    return FeatureCache(folder, train_step, views, validation, seed=config.seed, with_boxes=with_boxes)
