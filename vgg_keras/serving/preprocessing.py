"""Turns the encoded images of a request, of mixed sizes, into the views that a net sees, inside the graph.

Photos are turned upright by their EXIF orientation, as `predict` turns them.
A server must survive malformed requests: an image that does not decode, or would take too much memory, ends its request
with INVALID_ARGUMENT and the indices of the images at fault.
"""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.inference import views
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, MULTI_CROP
from vgg_keras.inference.views import ViewSpec
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import exif_orientation, image_headers

_FINE, _OF_NO_FORMAT, _TOO_LARGE, _TOO_LONG = range(4)
# Number of indices of bad images that a message names, from each end of their list.
_MOST_NAMED = 10

# State of an image, its serialized views at each scale, and their sizes.
_State = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class RequestPreprocessor:
    """The preprocessing of the images of a request, as part of the served graph.

    Attributes:
        method: DENSE, MULTI_CROP, CENTER_CROP or SQUASH.
        test_scales: test scales Q, the smallest sides in pixels.
        crop_size: side of the net's input in pixels.
        max_pixels: number of pixels above which an image is refused before it is decoded.
    """

    method: str
    test_scales: tuple[int, ...]
    crop_size: int
    max_pixels: int

    def _specs(self) -> list[ViewSpec]:
        return [ViewSpec(self.method, side, self.crop_size) for side in self.test_scales]

    @property
    def num_views(self) -> int:
        """Number of views of an image at a scale, without mirror images."""
        return self._specs()[0].num_views

    def views(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes and rescales the images of a request, and cuts out their views.

        Args:
            image_bytes: (B,) string: JPEG, PNG, GIF (its first frame) or BMP.

        Returns:
            (B, scales) string: serialized tensors (num_views, h, w, 3) float32, RGB 0..255; and (B, scales, 2) int32:
            h and w of each.

        Raises:
            tf.errors.InvalidArgumentError: images do not decode, or are too large; the message names their indices.
        """
        count = tf.size(image_bytes, out_type=tf.int64)
        read = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
        # One bad image must not hide the indices of the others; those missing afterwards are the ones that did not
        # decode.
        read = read.map(self._read, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
        # An extra element, dropped again below, because the batch must not be empty.
        last = (tf.constant(-1, tf.int64), *self._refused(_FINE))
        read = read.concatenate(tf.data.Dataset.from_tensors(last)).batch(count + 1)
        index, state, serialized, sizes = (part[:-1] for part in read.get_single_element())
        readable = index[state != _OF_NO_FORMAT]
        unreadable = tf.sets.difference(tf.range(count)[tf.newaxis], readable[tf.newaxis]).values
        checks = [
            _refuse(unreadable, "does not decode as a JPEG, PNG, GIF or BMP"),
            _refuse(index[state == _TOO_LARGE], f"has more than {self.max_pixels / 1e6:g} million pixels"),
            _refuse(index[state == _TOO_LONG], "is too long and thin to be looked at whole"),
        ]
        # Without this, the net would start on refused images, and its own error would sometimes come first.
        with tf.control_dependencies(checks):
            return tf.identity(serialized), tf.identity(sizes)

    def _read(self, index: tf.Tensor, image_bytes: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns the index of an image, its state, its serialized views and their sizes, which a refused one lacks."""
        pixels = image_headers.declared_pixels(image_bytes, self.max_pixels)
        state, seen, sizes = tf.case(
            [
                # TensorFlow decodes more formats, but their size is not known before they are decoded.
                (pixels == 0, lambda: self._refused(_OF_NO_FORMAT)),
                (pixels > self.max_pixels, lambda: self._refused(_TOO_LARGE)),
            ],
            default=lambda: self._seen(image_bytes, exif_orientation.read(image_bytes)),
        )
        return index, state, seen, sizes

    def _refused(self, state: int) -> _State:
        scales = len(self.test_scales)
        return tf.constant(state), tf.fill([scales], ""), tf.zeros((scales, 2), tf.int32)

    def _seen(self, image_bytes: tf.Tensor, orientation: tf.Tensor) -> _State:
        ways = {CENTER_CROP: self._center, SQUASH: self._squashed, DENSE: self._whole, MULTI_CROP: self._whole}
        return ways[self.method](image_bytes, orientation)

    def _center(self, image_bytes: tf.Tensor, orientation: tf.Tensor) -> _State:
        """Decodes the centre alone. Halves of a pixel are rounded down in the upright image, not in the stored one."""
        size = transforms.encoded_size(image_bytes)
        rounding = tf.cast(exif_orientation.stored_axes_reversed(orientation), tf.int32)

        def crop(side: int) -> tf.Tensor:
            offset = transforms.center_offset(transforms.rescaled_size(size, side) + rounding, self.crop_size)
            stored = transforms.decode_rescaled_window(image_bytes, size, side, offset, self.crop_size)
            return exif_orientation.turn(stored, orientation)[tf.newaxis]

        return _serialize([crop(side) for side in self.test_scales])

    def _squashed(self, image_bytes: tf.Tensor, orientation: tf.Tensor) -> _State:
        image = exif_orientation.turn(transforms.decode(image_bytes), orientation)
        return _serialize([spec.extract(image) for spec in self._specs()])

    def _whole(self, image_bytes: tf.Tensor, orientation: tf.Tensor) -> _State:
        image = exif_orientation.turn(transforms.decode(image_bytes), orientation)
        sides = tf.cast(tf.shape(image)[:2], tf.float32)
        extent = tf.reduce_max(sides) / tf.reduce_min(sides) * max(self.test_scales) ** 2

        def seen() -> _State:
            return _serialize([spec.extract(image) for spec in self._specs()])

        return tf.cond(extent > views.ALWAYS_ALLOWED_PIXELS, lambda: self._refused(_TOO_LONG), seen)


def _serialize(seen: Sequence[tf.Tensor]) -> _State:
    serialized = tf.stack([tf.io.serialize_tensor(view) for view in seen])
    return tf.constant(_FINE), serialized, tf.stack([tf.shape(view)[1:3] for view in seen])


def _refuse(indices: tf.Tensor, why: str) -> tf.Operation | None:
    message = tf.strings.format("image_bytes{} " + why, tf.sort(indices), summarize=_MOST_NAMED)
    return tf.debugging.Assert(tf.equal(tf.size(indices), 0), [message])
