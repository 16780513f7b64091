"""Cuts views out of test images: the whole image, a grid of crops, or the centre (arXiv:1409.1556, sect. 3.2)."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.data import resized_crops, shards, transforms
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.data.tracing import as_written
from vgg_keras.data.untuned import ahead, in_parallel
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, MULTI_CROP
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils.errors import UserError

# The photo as it is stored, for models that rescale and crop it themselves.
ENCODED = "encoded"
_GRID = 5
_NUM_VIEWS = {DENSE: 1, MULTI_CROP: _GRID * _GRID, CENTER_CROP: 1, SQUASH: 1, ENCODED: 1}
# A whole image may have as many pixels as 64 of the paper's crops, however small the batch is.
ALWAYS_ALLOWED_PIXELS = 64 * 224**2


@dataclasses.dataclass(frozen=True)
class ViewSpec:
    """The views that a net is shown of each image at one test scale, and the size of their batches.

    Attributes:
        method: DENSE: the whole image; MULTI_CROP: a 5x5 grid of crops, corners included; CENTER_CROP: the centre;
            SQUASH: the whole image, resized to the crop's size whatever its shape; ENCODED: its file's bytes.
        smallest_side: test scale Q in pixels, at least `crop_size`; SQUASH and ENCODED do not use it.
        crop_size: side of the net's input in pixels.
        batch_size: number of crops in a batch; whole images are batched to the same number of pixels.
    """

    method: str
    smallest_side: int
    crop_size: int
    batch_size: int = 32

    @property
    def num_views(self) -> int:
        """Number of views of an image, without mirror images."""
        return _NUM_VIEWS[self.method]

    @property
    def max_pixels(self) -> int:
        """Number of pixels that a whole image may have: as many as a batch of crops, or ALWAYS_ALLOWED_PIXELS."""
        return max(self.batch_size * self.crop_size**2, ALWAYS_ALLOWED_PIXELS)

    def images_per_batch(self, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Returns the number of images of a size that have as many pixels as a batch of crops; () int64, at least 1."""
        pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
        return tf.maximum(self.batch_size * self.crop_size**2 // pixels, tf.constant(1, tf.int64))

    def place(self, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns where the only view of an image lies in the image, once that is resized.

        Args:
            size: (2,) int, height and width of the image in pixels.

        Returns:
            (2,) int32, height and width of the resized image; and (2,) int32, (top, left) of the view in it.
        """
        if self.method == SQUASH:
            return tf.fill([2], self.crop_size), tf.zeros(2, tf.int32)
        rescaled = transforms.rescaled_size(size, self.smallest_side)
        is_crop = self.method == CENTER_CROP
        return rescaled, transforms.center_offset(rescaled, self.crop_size) if is_crop else tf.zeros(2, tf.int32)

    def extract(self, image: tf.Tensor) -> tf.Tensor:
        """Cuts the views out of one decoded image: (H, W, 3), 0..255 -> (views, h, w, 3) float32, 0..255."""
        if self.method == SQUASH:
            return resized_crops.squash(image, self.crop_size)[tf.newaxis]
        whole = transforms.rescale(image, self.smallest_side)
        if self.method == DENSE:
            return whole[tf.newaxis]
        if self.method == MULTI_CROP:
            return transforms.crop_grid(whole, self.crop_size, _GRID)
        return transforms.center_crop(whole, self.crop_size)[tf.newaxis]


def decode_views(image_bytes: tf.Tensor, specs: Sequence[ViewSpec]) -> list[tf.Tensor]:
    """Decodes one image and cuts out its views at several scales.

    Args:
        image_bytes: () string, a JPEG, PNG, GIF or BMP.
        specs: one for each scale, all with the same method.

    Returns:
        For each spec (views, h, w, 3) float32, 0..255.

    Raises:
        tf.errors.InvalidArgumentError: the image does not decode.
    """
    if specs[0].method == CENTER_CROP:  # only the centre needs to be decoded
        return [transforms.decode_center(image_bytes, spec.smallest_side, spec.crop_size)[tf.newaxis] for spec in specs]
    image = transforms.decode(image_bytes)
    return [spec.extract(image) for spec in specs]


def rescaled_pixels(sizes: np.ndarray, smallest_side: int) -> np.ndarray:
    """Returns the number of pixels of images at a test scale: (..., 2) heights and widths -> (...) float."""
    return np.max(sizes, axis=-1) / np.min(sizes, axis=-1) * float(smallest_side) ** 2


def require_fits(photo: np.ndarray, spec: ViewSpec) -> None:
    """Checks that a photo, (H, W, 3), is not so long and thin that the whole of it would not fit into memory.

    Raises:
        BadImage: it has more than `spec.max_pixels` when it is rescaled.
    """
    if spec.method == SQUASH:
        return
    pixels = rescaled_pixels(np.array(photo.shape[:2]), spec.smallest_side)
    if pixels > spec.max_pixels:
        raise BadImage(
            f"is too long and thin ({photo.shape[1]}x{photo.shape[0]}): with the smallest side {spec.smallest_side} it "
            f"has {pixels / 1e6:,.1f} million pixels; crop it"
        )


def require_images_fit(manifest: SplitManifest, spec: ViewSpec) -> None:
    """Checks that no image is so long and thin that the whole of it would not fit into memory.

    Raises:
        UserError: an image has more than `spec.max_pixels`.
    """
    pixels = rescaled_pixels(manifest.sizes, spec.smallest_side)
    worst = int(pixels.argmax())
    if pixels[worst] > spec.max_pixels:
        height, width = manifest.sizes[worst]
        need = int(np.ceil(pixels[worst] / spec.crop_size**2))
        raise UserError(
            f"image {worst} {manifest.names[worst]} is {width}x{height}: with the smallest side {spec.smallest_side} "
            f"it has {pixels[worst] / 1e6:,.1f} million pixels; take it out, or give --batch_size={need} and the memory"
        )


def batch_groups(manifest: SplitManifest, spec: ViewSpec) -> np.ndarray:
    """Returns which images have views in the same batches: (N,) int64, the same number for each of them.

    If all images of a number are wanted, `view_batches` puts them into the same batches whichever others are wanted, so
    that their outputs have the same bits.

    Args:
        manifest: the images.
        spec: the views of each image.
    """
    index = np.arange(len(manifest))
    if spec.method != DENSE:
        return index // (spec.batch_size // math.gcd(spec.batch_size, spec.num_views))
    sizes = transforms.rescaled_size(manifest.sizes, spec.smallest_side).numpy()
    shapes, shape = np.unique(sizes, axis=0, return_inverse=True)
    shape = shape.reshape(-1)
    per_batch = spec.images_per_batch(*tf.unstack(tf.constant(shapes), axis=1)).numpy()[shape]
    order = np.argsort(shape, kind="stable")
    first = np.searchsorted(shape[order], np.arange(len(shapes)))
    rank = np.empty_like(index)  # among the images of the same shape
    rank[order] = index - first[shape[order]]
    return np.unique(np.stack([shape, rank // per_batch]), axis=1, return_inverse=True)[1].reshape(-1)


def weights(manifest: SplitManifest, spec: ViewSpec) -> np.ndarray:
    """Returns about how much work each image is, (N,) float: the number of pixels that the net is shown."""
    if spec.method == DENSE:
        return rescaled_pixels(manifest.sizes, spec.smallest_side)
    return np.full(len(manifest), float(spec.num_views * spec.crop_size**2))


def view_batches(manifest: SplitManifest, wanted: np.ndarray, spec: ViewSpec) -> Iterator[dict[str, tf.Tensor]]:
    """Yields the views of the wanted images of a split, each view once, images of equal shape together.

    Args:
        manifest: the images, or their windows.
        wanted: (N,) bool, true for the images whose views are yielded.
        spec: the views of each image.

    Yields:
        {"image": (B, H, W, 3) float32 0..255, or (B,) string, "index": (B,) int64, the image's index in the manifest}.

    Raises:
        UserError: a record cannot be read.
    """
    indexed = manifest.data.encoded(manifest.split).take(len(manifest)).enumerate()
    indexed = indexed.filter(lambda index, _: tf.gather(tf.constant(wanted), index))
    dataset = _KINDS.get(spec.method, _crops)(indexed, manifest, spec)
    yield from shards.read(manifest.data, ahead(dataset))


def _meant_part(image_bytes: tf.Tensor, index: tf.Tensor, manifest: SplitManifest) -> tf.Tensor:
    """Decodes an image, or the window of it that the manifest means: (h, w, 3) uint8."""
    image = transforms.decode(image_bytes)
    return image if manifest.windows is None else transforms.cut_out(image, tf.constant(manifest.windows)[index])


def _whole_images(indexed: tf.data.Dataset, manifest: SplitManifest, spec: ViewSpec) -> tf.data.Dataset:
    """Groups images by their rescaled shape while they are still encoded, which takes little memory."""
    sizes = tf.constant(manifest.sizes)

    def shape_key(index: tf.Tensor, _) -> tf.Tensor:
        height, width = tf.unstack(tf.cast(transforms.rescaled_size(sizes[index], spec.smallest_side), tf.int64))
        return height * tf.int32.max + width

    def images_per_batch(key: tf.Tensor) -> tf.Tensor:
        return spec.images_per_batch(key // tf.int32.max, key % tf.int32.max)

    @as_written
    def load(index: tf.Tensor, example: dict) -> dict:
        return {"image": spec.extract(_meant_part(example["image_bytes"], index, manifest))[0], "index": index}

    def batched(key: tf.Tensor, window: tf.data.Dataset) -> tf.data.Dataset:
        return in_parallel(window, load).batch(images_per_batch(key))

    return indexed.group_by_window(shape_key, batched, window_size_func=images_per_batch)


def _crops(indexed: tf.data.Dataset, manifest: SplitManifest, spec: ViewSpec) -> tf.data.Dataset:
    @as_written
    def load(index: tf.Tensor, example: dict) -> dict:
        if manifest.windows is None:
            (crops,) = decode_views(example["image_bytes"], [spec])
        else:
            crops = spec.extract(_meant_part(example["image_bytes"], index, manifest))
        return {"image": crops, "index": tf.repeat(index, spec.num_views)}

    return in_parallel(indexed, load).unbatch().batch(spec.batch_size)


def _encoded(indexed: tf.data.Dataset, manifest: SplitManifest, spec: ViewSpec) -> tf.data.Dataset:
    photos = indexed.map(lambda index, example: {"image": example["image_bytes"], "index": index})
    return photos.batch(spec.batch_size)


_KINDS = {DENSE: _whole_images, ENCODED: _encoded}
