"""Caches the frozen layers' outputs for a few augmented views of each photo, on which every epoch then trains.

Epoch e trains on view e modulo the number of views. The first epochs, one for each view, train on the same images in
the same order as without a cache; later epochs reuse the views in another order, which follows from the seed.

A view may be larger than the net's input. Then each epoch draws random crops and mirror images of the view's map, which
move by whole positions of the map (after block5_pool, 32 pixels). They differ slightly from the map of a crop, whose
convolutions see zeros at its border, and from that of a mirror image, since filters are not symmetric; but they are
much cheaper than another view. Of several objects, these crops keep the one that was chosen for the whole view.
"""

import dataclasses
import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import boxes, input_pipeline, transforms
from vgg_keras.data.untuned import ahead, in_parallel
from vgg_keras.training.train_step import TrainStep
from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray

# Columns of a row: the label, the weight, the box if there is one, and then the frozen layers' outputs.
_LABEL, _WEIGHT, _BOX = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class CachedSource:
    """Batches of images for which the frozen layers' outputs are cached.

    Attributes:
        name: name of the file, without its suffix.
        batches: function from a first step to the batches from that step on: {"image", "label"}, with "weight" in
            validation.
        num_images: number of images in the batches, without those that fill the last batch.
        batch_size: number of images in a batch of all replicas together.
        side: side of the images in pixels.
    """

    name: str
    batches: Callable[[int], Iterable]
    num_images: int
    batch_size: int
    side: int

    @property
    def num_steps(self) -> int:
        """Number of batches."""
        return ceil_divide(self.num_images, self.batch_size)

    @property
    def num_rows(self) -> int:
        """Number of images in the batches, with those that fill the last batch."""
        return self.num_steps * self.batch_size


class FeatureCache:
    """Batches of the frozen layers' outputs, for a `TrainStep` whose `StepConfig` is `cached`.

    Args:
        folder: folder of the cached outputs.
        train_step: step that computes the outputs.
        views: augmented views of the training split.
        validation: validation split, with images as large as the net's input.
        seed: seed of the order of later epochs, and of the crops and mirror images of maps.
        with_boxes: whether the images' batches hold "box", which crops and mirror images of maps take along.
    """

    def __init__(
        self,
        folder: Path,
        train_step: TrainStep,
        views: list[CachedSource],
        validation: CachedSource,
        *,
        seed: int,
        with_boxes: bool = False,
    ):
        self._folder, self._train_step, self._seed = folder, train_step, seed
        self._views, self._validation, self._with_boxes = views, validation, with_boxes
        self._first_output = _BOX + (boxes.SIZE if with_boxes else 0)

    def fill(self) -> None:
        """Computes the missing outputs, with a progress bar; resumes where a killed process stopped.

        Raises:
            UserError: the disk has too little space, or a cached file is damaged.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        sources = [*self._views, self._validation]
        missing = [source for source in sources if not self._path(source).exists()]
        numbers = sum(source.num_rows * self._width(source) for source in missing)
        needed, free = numbers * np.dtype(np.float32).itemsize, shutil.disk_usage(self._folder).free
        if needed > free:
            raise UserError(
                f"the outputs of the frozen layers need {needed / 1e9:.1f} GB in {self._folder}, which has "
                f"{free / 1e9:.1f} GB left: lower --cache_views, or choose another --output_dir"
            )
        for source in sources:
            self._fill(source)

    def remove(self) -> None:
        """Deletes the cached outputs."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def training(self, epoch: int, first_step: int) -> Iterable:
        """Opens the batches of an epoch from a step on, distributed over the replicas.

        Args:
            epoch: index of the epoch, from 0.
            first_step: index of the first batch in the epoch.

        Returns:
            Batches of {"image": (B, ...) float32, the frozen layers' outputs, "label": (B,) int32, "weight": (B,)
            float32, "row": (B,) int32, the image's row in the batch of all replicas, and, if there are boxes, "box":
            (B, 4) float32, relative to the crop}.
        """
        source = self._views[epoch % len(self._views)]
        order = np.arange(source.num_rows)
        if epoch >= len(self._views):
            shuffled = input_pipeline.order_of_epoch(source.num_images, self._seed, epoch)
            order = np.resize(shuffled, source.num_rows)
        return self._batches(source, order, first_step, seed=(self._seed, epoch))

    def validation(self) -> Iterable:
        """Opens the batches of the validation split, as those of `training`; images of weight 0 are padding."""
        return self._batches(self._validation, np.arange(self._validation.num_rows), 0)

    def _path(self, source: CachedSource) -> Path:
        return self._folder / f"{source.name}.npy"

    def _width(self, source: CachedSource) -> int:
        return self._first_output + math.prod(self._train_step.frozen_shape(source.side))

    def _fill(self, source: CachedSource) -> None:
        rows = ResumableArray(self._path(source), source.num_rows, self._width(source))
        pending = np.flatnonzero(rows.pending())
        if not len(pending):
            return
        first_step = int(pending[0]) // source.batch_size
        batches = itertools.islice(source.batches(first_step), source.num_steps - first_step)
        position = first_step * source.batch_size
        with progress_bar(f"frozen layers, {source.name}", source.num_rows, " images", initial=position) as bar:
            for batch in batches:
                computed = self._rows_of(batch)
                for row in computed:
                    rows.store(position, row)
                    position += 1
                bar.update(len(computed))  # at once, or the rate of the only batch would be that of its first row
        rows.flush()

    def _rows_of(self, batch: Mapping) -> np.ndarray:
        """Computes the cached rows of a batch of images: (B, width) float32."""
        batch = self._train_step.shown(batch)
        outputs, labels = self._train_step.frozen_outputs(batch), self._train_step.gather(batch["label"])
        weights = self._train_step.gather(batch["weight"]) if "weight" in batch else np.ones(len(labels))
        found = [self._train_step.gather(batch["box"])] if self._with_boxes else []
        return np.column_stack([labels, weights, *found, outputs.reshape(len(labels), -1)]).astype(np.float32)

    def _batches(
        self, source: CachedSource, order: np.ndarray, first_step: int, seed: tuple[int, int] = (0, 0)
    ) -> Iterable:
        rows = ResumableArray(self._path(source), source.num_rows, self._width(source)).values()
        shape = self._train_step.frozen_shape(source.side)
        wanted = self._train_step.frozen_shape(self._validation.side)

        def example(index: tf.Tensor, position: tf.Tensor) -> dict:
            row = tf.numpy_function(lambda row_index: rows[row_index], [index], tf.float32, stateful=False)
            row = tf.ensure_shape(row, (rows.shape[1],))
            found = {"image": tf.reshape(row[self._first_output :], shape)}
            if self._with_boxes:
                found["box"] = row[_BOX : self._first_output]
            if shape != wanted:
                seeds = tf.random.experimental.stateless_fold_in(tf.constant(seed, tf.int64), position)
                found = crop_map(found, wanted[0], self._validation.side, seeds)
            return {
                **found,
                "label": tf.cast(row[_LABEL], tf.int32),
                "weight": row[_WEIGHT],
                "row": tf.cast(position % source.batch_size, tf.int32),
            }

        def make(*, batch_size: int, per_replica_batch: int, share: input_pipeline.Share) -> tf.data.Dataset:
            del share  # a single worker has all of it
            indices = tf.data.Dataset.from_tensor_slices((order, np.arange(source.num_rows)))
            examples = in_parallel(indices.skip(first_step * batch_size), example)
            return ahead(examples.batch(per_replica_batch, drop_remainder=True))

        num_steps = source.num_steps - first_step
        return input_pipeline.distribute(self._train_step.strategy, source.batch_size, num_steps, make)


def crop_map(example: Mapping[str, tf.Tensor], positions: int, side: int, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws a random crop, or its mirror image, of the map of a view.

    Args:
        example: {"image": (m, m, C) float32, the map}, and "box": (4,) float32, relative to the view, zeros if there is
            none.
        positions: side of the crop in positions of the map, at most m.
        side: side in pixels of the crop that the net sees; a multiple of `positions`.
        seed: (2,) integers.

    Returns:
        {"image": (positions, positions, C), and "box" if there was one, relative to the crop}.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2), num=2)
    size = tf.shape(example["image"])[:2]
    cropped = transforms.random_crop(example["image"], positions, seeds[0])
    found = {"image": transforms.random_flip(cropped, seeds[1])}
    if "box" in example:
        step = side // positions
        offset = step * transforms.random_offset(size, positions, seeds[0])
        box = boxes.to_crop(example["box"][tf.newaxis], step * size, offset, side)[0]
        box = tf.where(boxes.area(example["box"]) > 0, box, tf.zeros(boxes.SIZE))
        found["box"] = boxes.mirror_if(transforms.draw_flip(seeds[1]), box)
    return found
