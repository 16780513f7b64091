"""Turns TFDS data sets into batches: shuffles and shares out encoded images, then decodes, augments and batches them.

An epoch is a pure function of (seed, epoch): they determine the order of the images and, together with the position in
the epoch, each image's scale, crop, flip and RGB shift. The batches are therefore the same on one device, several
devices or several machines, and an epoch can be resumed at any step.
"""

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data import boxes, device_augmentation, resized_crops, transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.data.tracing import as_written
from vgg_keras.data.untuned import ahead, in_parallel
from vgg_keras.utils.arithmetic import ceil_divide


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The random augmentation of training images (arXiv:1409.1556, sect. 3.1).

    Attributes:
        crop_size: side of the net's input in pixels.
        scale_range: (Smin, Smax) of the training scale S in pixels, both included, at least `crop_size`; None: in the
            place of a crop of the rescaled image, a window of random area and shape is resized (`resized_crops`).
        rgb: the statistics that the RGB shift uses.
        rgb_shift_stddev: standard deviation of the RGB shift's random factors; 0 switches the shift off.
    """

    crop_size: int
    scale_range: tuple[int, int] | None
    rgb: RgbStatistics
    rgb_shift_stddev: float = 0.1

    def __call__(self, example: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws a random crop of an image, and what `device_augmentation.augment` does with it later.

        Args:
            example: {"image_bytes": () string, the encoded image}, and "boxes" if the crop's box is asked for: (n, 4)
                float32, relative to the image.
            seed: (2,) integers.

        Returns:
            {"image": (crop, crop, 3) uint8, "mirrored": () bool, whether it is to be mirrored, "rgb_shift": (3,)
            float32, what is to be added to its pixels}, and "box" if there are "boxes": (4,) float32, relative to the
            crop before it is mirrored: the most visible one, zeros if there is none.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4), num=4)
        image_bytes = example["image_bytes"]
        size = transforms.encoded_size(image_bytes)
        window: int | tf.Tensor = self.crop_size
        if self.scale_range is None:
            offset, window = resized_crops.draw_window(size, seeds[1])
            image = resized_crops.decode_resized(image_bytes, size, offset, window, self.crop_size)
        else:
            smallest_side, encoded_size = transforms.random_scale(self.scale_range, seeds[0]), size
            size = transforms.rescaled_size(encoded_size, smallest_side)
            offset = transforms.random_offset(size, self.crop_size, seeds[1])
            image = transforms.decode_rescaled_window(image_bytes, encoded_size, smallest_side, offset, self.crop_size)
        drawn = {
            "image": transforms.to_uint8(image),
            device_augmentation.MIRRORED: transforms.draw_flip(seeds[2]),
            device_augmentation.RGB_SHIFT: transforms.draw_rgb_shift(
                self.rgb.eigenvectors, self.rgb.eigenvalues, self.rgb_shift_stddev, seeds[3]
            ),
        }
        if "boxes" in example:
            drawn["box"] = boxes.most_visible(boxes.to_crop(example["boxes"], size, offset, window))
        return drawn


@dataclasses.dataclass(frozen=True)
class Share:
    """One worker's share of every batch: elements `index`, `index + count`, ... of the stream.

    Attributes:
        index: index of the worker, from 0.
        count: number of workers.
    """

    index: int = 0
    count: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingEpoch:
    """One worker's share of the batches of one epoch, cut into elements: the images that a replica takes in a step.

    An element is a pure function of its number, whoever computes it and when.

    Attributes:
        data: the data set.
        split: name of the training split.
        augmentation: function from (example, seed) to what the net is shown of it, as `Augmentation` has it.
        seed: the run's seed.
        epoch: index of the epoch, from 0.
        batch_size: number of images in the batch of all replicas together.
        per_replica_batch: number of images in an element; None: this worker's share of a batch.
        share: this worker's share.
        with_boxes: whether the boxes of the objects are asked for.
    """

    data: ImageData
    split: str
    augmentation: Augmentation
    seed: int
    epoch: int
    batch_size: int
    per_replica_batch: int | None = None
    share: Share = Share()
    with_boxes: bool = False

    @property
    def images_per_element(self) -> int:
        """Number of images in an element."""
        return self.per_replica_batch or self.batch_size // self.share.count

    def numbers(self, first_step: int = 0) -> range:
        """Returns the numbers of the elements from a step on, from 0 at the beginning of the epoch.

        Raises:
            UserError: the split is missing or empty.
        """
        per_step = self.batch_size // self.share.count // self.images_per_element
        return range(first_step * per_step, steps_per_epoch(self.data, self.split, self.batch_size) * per_step)

    def number_of(self, position: int) -> int:
        """Returns the number of the element that holds an image, given its position in the epoch."""
        return position // (self.images_per_element * self.share.count)

    def elements(self, numbers: range, *, with_positions: bool = False) -> tf.data.Dataset:
        """Returns elements in the order of their numbers.

        Args:
            numbers: the numbers, without a gap.
            with_positions: whether the elements hold "position" too: (B,) int64, the images' positions in the epoch.

        Returns:
            A data set of what `training_epoch` describes.

        Raises:
            UserError: the split is missing or empty.
        """
        num_images, length, count = self.data.num_images(self.split), self.images_per_element, self.share.count
        read = self.data.record_reader(self.split, labelled=True, boxes=self.with_boxes)
        with tf.device("/cpu:0"):  # outside of `load`, of whose graph it would become a part
            order = tf.constant(order_of_epoch(num_images, self.seed, self.epoch))

        def positions(number: tf.Tensor) -> tf.data.Dataset:
            first = self.share.index + number * length * count
            return tf.data.Dataset.range(first, first + length * count, count)

        @as_written
        def load(position: tf.Tensor) -> dict:
            example = read(tf.gather(order, position % num_images))
            seed = tf.constant([self.seed, self.epoch], tf.int64)
            return {
                **self.augmentation(example, tf.random.experimental.stateless_fold_in(seed, position)),
                "label": example["label"],
                "row": tf.cast(position % self.batch_size, tf.int32),
                **({"position": position} if with_positions else {}),
            }

        dataset = tf.data.Dataset.range(numbers.start, numbers.stop).flat_map(positions)
        dataset = in_parallel(dataset, load).batch(length, drop_remainder=True)
        return ahead(dataset).with_options(_options())


def training_epoch(
    data: ImageData, split: str, augmentation: Augmentation, *, first_step: int = 0, **arguments: Any
) -> tf.data.Dataset:
    """Returns the batches of one epoch: every image once, and the last batch filled up with the epoch's first images.

    Args:
        data: the data set.
        split: name of the training split.
        augmentation: function from (example, seed) to what the net is shown of it, as `Augmentation` has it.
        first_step: number of batches to skip at the beginning of the epoch.
        arguments: further attributes of `TrainingEpoch`.

    Returns:
        A data set of {"image": (B, crop, crop, 3) uint8, RGB, "mirrored": (B,) bool and "rgb_shift": (B, 3) float32,
        what `device_augmentation.augment` is to do with it, "label": (B,) int32, "row": (B,) int32, the image's index
        in the batch of all replicas}; with boxes also "box": (B, 4) float32.

    Raises:
        UserError: the split is missing or empty.
    """
    epoch = TrainingEpoch(data=data, split=split, augmentation=augmentation, **arguments)
    # A worker reads its own share alone, from the first step on.
    return epoch.elements(epoch.numbers(first_step))


def order_of_epoch(num_images: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order in which an epoch shows the images of a split: a permutation of 0..num_images - 1, (N,) int64.

    Args:
        num_images: number of images in the split.
        seed: the run's seed.
        epoch: index of the epoch, from 0.
    """
    # NumPy promises that this generator's numbers never change, so that a run can be resumed with a later version.
    frozen = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, epoch])))
    return frozen.permutation(num_images)


def steps_per_epoch(data: ImageData, split: str, batch_size: int) -> int:
    """Returns the number of batches that together hold every image of a split.

    Args:
        data: the data set.
        split: name of the split.
        batch_size: number of images in a batch.

    Raises:
        UserError: the split is missing or empty.
    """
    return ceil_divide(data.num_images(split), batch_size)


def evaluation_batches(
    data: ImageData,
    split: str,
    *,
    smallest_side: int | None,
    crop_size: int,
    batch_size: int,
    per_replica_batch: int | None = None,
    share: Share = Share(),
    with_boxes: bool = False,
) -> tf.data.Dataset:
    """Returns batches of centre crops: every image of a split exactly once, then padding with weight 0.

    Args:
        data: the data set.
        split: name of the split.
        smallest_side: test scale Q in pixels, at least `crop_size`; None: whole images, squashed to the size of the
            crop.
        crop_size: side of the crop in pixels.
        batch_size: number of images in the batch of all replicas together.
        per_replica_batch: number of images in an element of the result; None: this worker's share of a batch.
        share: this worker's share; all workers get the same number of batches.
        with_boxes: whether the boxes of the objects are asked for.

    Returns:
        A data set of {"image": (B, crop, crop, 3) float32, RGB 0..255, "label": (B,) int32, "weight": (B,) float32, 1
        for an image, 0 for padding}; `with_boxes` also "box": (B, 4) float32, of each image the most visible one,
        relative to what is shown.

    Raises:
        UserError: the split is missing or empty.
    """

    read = data.record_reader(split, labelled=True, boxes=with_boxes)

    @as_written
    def load(record: tf.Tensor) -> dict:
        example = read(record)
        image_bytes, shown = example["image_bytes"], example.get("boxes")
        if smallest_side is None:  # no relative box moves
            image = resized_crops.squash(transforms.decode(image_bytes), crop_size)
        else:
            image = transforms.decode_center(image_bytes, smallest_side, crop_size)
            if with_boxes:
                size = transforms.rescaled_size(transforms.encoded_size(image_bytes), smallest_side)
                shown = boxes.to_crop(shown, size, transforms.center_offset(size, crop_size), crop_size)
        found = {"image": image, "label": example["label"], "weight": tf.ones(())}
        return {**found, "box": boxes.most_visible(shown)} if with_boxes else found

    per_replica_batch = per_replica_batch or batch_size // share.count
    nothing = {"image": tf.zeros((crop_size, crop_size, 3)), "label": tf.zeros((), tf.int32), "weight": tf.zeros(())}
    padding = tf.data.Dataset.from_tensors({**nothing, **({"box": tf.zeros(boxes.SIZE)} if with_boxes else {})})
    per_worker = steps_per_epoch(data, split, batch_size) * batch_size // share.count
    dataset = tf.data.Dataset.range(share.index, data.num_images(split), share.count)
    dataset = in_parallel(dataset, load).concatenate(padding.repeat()).take(per_worker)
    dataset = dataset.batch(per_replica_batch, drop_remainder=True)
    return ahead(dataset).with_options(_options())


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # The data sets are sharded above already; TensorFlow must not shard them a second time.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def distribute(strategy: tf.distribute.Strategy, batch_size: int, num_batches: int, make_dataset) -> Iterator:
    """Distributes batches over replicas and workers.

    Args:
        strategy: the devices.
        batch_size: number of images in the batch of all replicas together; a multiple of the number of replicas.
        num_batches: number of batches.
        make_dataset: function from the keywords `batch_size`, `per_replica_batch` and `share` to a `tf.data.Dataset` of
            so many batches; called once in each worker.

    Returns:
        The batches.

    Raises:
        ValueError: the batch does not divide by the number of replicas.
    """
    if tuple(map(_kind_of_device, strategy.extended.worker_devices)) == ("CPU",) and strategy.num_replicas_in_sync == 1:
        # Nothing has to be moved to another device, or shared out.
        return iter(make_dataset(batch_size=batch_size, per_replica_batch=batch_size, share=Share()).take(num_batches))

    def worker_dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        share = Share(context.input_pipeline_id, context.num_input_pipelines)
        per_replica = context.get_per_replica_batch_size(batch_size)
        # Of batches that might end, all workers ask each other in every step whether one has no more of them.
        return make_dataset(batch_size=batch_size, per_replica_batch=per_replica, share=share).repeat()

    return _batches([iter(strategy.distribute_datasets_from_function(worker_dataset))], num_batches)


def _kind_of_device(device: str) -> str:
    return tf.DeviceSpec.from_string(device).device_type


def _batches(held: list[Iterator], num_batches: int) -> Iterator:
    """Yields the first batches of the iterator that a list holds, and deletes it in a thread.

    For each device TensorFlow makes an iterator with a tuner, whose end the deletion may wait for (see `untuned`).
    """
    try:
        for _ in range(num_batches):
            yield next(held[0])
    finally:
        # As the program ends, no thread can be started any more, and `contextlib` may be emptied as `threading` is.
        try:  # noqa: SIM105
            threading.Thread(target=held.clear).start()
        except (AttributeError, RuntimeError):
            pass
