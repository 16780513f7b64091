"""What a net sees of a test image: the whole of it, a grid of crops, or the centre (arXiv:1409.1556, sect. 3.2)."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.datasets import ImageData, broken_records
from vgg_keras.evaluation.published import CENTER_CROP, DENSE, MULTI_CROP
from vgg_keras.utils.cli import UserError, progress_bar

_GRID = 5
# Views of an image at one scale; each is seen as it is and, with --flip, mirrored.
NUM_VIEWS = {DENSE: 1, MULTI_CROP: _GRID * _GRID, CENTER_CROP: 1}
# So many pixels an image may always have, however small the batch: 64 of the paper's crops.
ALWAYS_ALLOWED = 64 * 224**2
_SURVEY_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Survey:
    """What is known of a split's images before any is decoded.

    Attributes:
        labels: (N,) int32; where images have several labels (N, classes) int32, 1 for a label that an image has.
        sizes: (N, 2) int32, heights and widths in pixels.
        names: of the files, empty strings where the data set has none.
    """

    labels: np.ndarray
    sizes: np.ndarray
    names: Sequence[str]

    @classmethod
    def of(cls, data: ImageData, split: str, max_images: int = 0) -> "Survey":
        """Reads every record of a split once.

        Args:
            data: the data set.
            split: the split.
            max_images: look at the first so many only; 0: at all.

        Raises:
            UserError: there is no such split, it is empty or has no labels, or a record cannot be read.
        """
        count = min(max_images or data.num_images(split), data.num_images(split))

        def look(example: dict) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return example["label"], transforms.encoded_size(example["image_bytes"]), example["name"]

        images = data.encoded(split).take(count).map(look, tf.data.AUTOTUNE)
        batches = []
        with broken_records(data), progress_bar("labels and sizes", count, " images", leave=False) as bar:
            for batch in images.batch(_SURVEY_BATCH).as_numpy_iterator():
                batches.append(batch)
                bar.update(len(batch[0]))
        labels, sizes, names = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        if labels.min() < 0:
            raise UserError(f"{data.builder.data_dir}: split {split!r} has no labels, so that nothing can be compared")
        return cls(labels, sizes, [name.decode() for name in names.tolist()])

    def __len__(self) -> int:
        return len(self.labels)

    def check_extents(self, smallest_side: int, crop_size: int, batch_size: int) -> None:
        """Refuses images that are so long and thin that, whole, they would not fit into memory.

        Raises:
            UserError: there is one.
        """
        allowed = allowed_pixels(crop_size, batch_size)
        pixels = rescaled_pixels(self.sizes, smallest_side)
        worst = int(pixels.argmax())
        if pixels[worst] > allowed:
            height, width = self.sizes[worst]
            need = int(np.ceil(pixels[worst] / crop_size**2))
            raise UserError(
                f"image {worst} {self.names[worst]} is {width}x{height}: with the smallest side {smallest_side} it has "
                f"{pixels[worst] / 1e6:,.1f} million pixels; take it out, or give --batch_size={need} and the memory"
            )


@dataclasses.dataclass(frozen=True)
class ImagesUnderTest:
    """Images that nets are shown.

    Attributes:
        data: the data set.
        split: the split's name.
        survey: labels and sizes of the images that are shown.
    """

    data: ImageData
    split: str
    survey: Survey

    def identity(self) -> dict:
        """Returns what tells these images from others, as JSON has it."""
        class_names = self.data.class_names
        content = "\n".join(class_names).encode() + self.survey.labels.tobytes() + self.survey.sizes.tobytes()
        return {
            "data_set": self.data.builder.name,
            "split": self.split,
            "num_images": len(self.survey),
            "num_classes": len(class_names),
            "sha256_of_classes_labels_sizes": hashlib.sha256(content).hexdigest(),
        }


def rescaled_pixels(sizes: np.ndarray, smallest_side: int) -> np.ndarray:
    """Returns how many pixels images have at a test scale: (..., 2) heights and widths -> (...) float."""
    return np.max(sizes, axis=-1) / np.min(sizes, axis=-1) * float(smallest_side) ** 2


def allowed_pixels(crop_size: int, batch_size: int) -> int:
    """Returns how many pixels one whole image may have: as many as a batch of crops, or `ALWAYS_ALLOWED`."""
    return max(batch_size * crop_size**2, ALWAYS_ALLOWED)


def images_per_batch(height: tf.Tensor, width: tf.Tensor, crop_size: int, batch_size: int) -> tf.Tensor:
    """Returns how many images of a size are as many pixels as a batch of crops, at least one; () int64."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    return tf.maximum(batch_size * crop_size**2 // pixels, tf.constant(1, tf.int64))


def view_batches(
    data: ImageData,
    split: str,
    survey: Survey,
    wanted: np.ndarray,
    *,
    method: str,
    smallest_side: int,
    crop_size: int,
    batch_size: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the views of images of a split, each view once, images of equal shape together.

    Args:
        data: the data set.
        split: the split.
        survey: what is known of it; as long as the part of the split that is tested.
        wanted: (N,) bool, which images.
        method: DENSE: the whole image; MULTI_CROP: 5x5 crops, corners included; CENTER_CROP.
        smallest_side: the test scale Q, at least `crop_size`.
        crop_size: side of the crops, the net's input.
        batch_size: crops a batch; whole images are batched to the same number of pixels.

    Yields:
        {"image": (B, H, W, 3) float32 0..255, "index": (B,) int64, the image's place in the split}.

    Raises:
        UserError: a record cannot be read.
    """
    indexed = data.encoded(split).take(len(survey)).enumerate()
    indexed = indexed.filter(lambda index, _: tf.gather(tf.constant(wanted), index))
    if method == DENSE:
        dataset = _whole_images(indexed, survey, smallest_side, crop_size, batch_size)
    else:
        dataset = _crops(indexed, method, smallest_side, crop_size).batch(batch_size)
    iterator = iter(dataset.prefetch(2))
    while True:
        with broken_records(data):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def _whole_images(
    indexed: tf.data.Dataset, survey: Survey, smallest_side: int, crop_size: int, batch_size: int
) -> tf.data.Dataset:
    """Groups images by their rescaled shape while they are still encoded, which takes little memory."""
    sizes = tf.constant(survey.sizes)

    def shape_key(index: tf.Tensor, _) -> tf.Tensor:
        height, width = tf.unstack(tf.cast(transforms.rescaled_size(sizes[index], smallest_side), tf.int64))
        return height * tf.int32.max + width

    def batch_of_shape(key: tf.Tensor) -> tf.Tensor:
        return images_per_batch(key // tf.int32.max, key % tf.int32.max, crop_size, batch_size)

    def load(index: tf.Tensor, example: dict) -> dict:
        image = transforms.decode(example["image_bytes"])
        return {"image": views_of(image, DENSE, smallest_side, crop_size)[0], "index": index}

    def batched(key: tf.Tensor, window: tf.data.Dataset) -> tf.data.Dataset:
        return window.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_of_shape(key))

    return indexed.group_by_window(shape_key, batched, window_size_func=batch_of_shape)


def views_of(image: tf.Tensor, method: str, smallest_side: int, crop_size: int) -> tf.Tensor:
    """Returns what a net sees of one decoded image: (H, W, 3) -> (views, h, w, 3) float32, 0..255.

    Args:
        image: uint8 or float, 0..255.
        method: DENSE, MULTI_CROP or CENTER_CROP.
        smallest_side: the test scale Q, at least `crop_size`.
        crop_size: side of the crops.
    """
    whole = transforms.rescale(image, smallest_side)
    if method == DENSE:
        return whole[tf.newaxis]
    if method == MULTI_CROP:
        return transforms.crop_grid(whole, crop_size, _GRID)
    return transforms.center_crop(whole, crop_size)[tf.newaxis]


def encoded_views(
    image_bytes: tf.Tensor, method: str, smallest_sides: Sequence[int], crop_size: int
) -> list[tf.Tensor]:
    """Returns what a net sees of one encoded image at several scales: () string -> (views, h, w, 3) float32 each."""
    if method == CENTER_CROP:  # only the centre needs to be decoded
        return [transforms.decode_center(image_bytes, side, crop_size)[tf.newaxis] for side in smallest_sides]
    image = transforms.decode(image_bytes)
    return [views_of(image, method, side, crop_size) for side in smallest_sides]


def _crops(indexed: tf.data.Dataset, method: str, smallest_side: int, crop_size: int) -> tf.data.Dataset:
    def load(index: tf.Tensor, example: dict) -> dict:
        (crops,) = encoded_views(example["image_bytes"], method, [smallest_side], crop_size)
        return {"image": crops, "index": tf.repeat(index, NUM_VIEWS[method])}

    return indexed.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).unbatch()
