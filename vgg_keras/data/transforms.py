"""Decodes, rescales, crops and augments images; all functions are pure and take their randomness from a seed.

Sizes are (height, width) in pixels, images (H, W, 3) RGB, seeds (2,) integers. Resized images are float32 and keep the
0..255 scale.
"""

import tensorflow as tf

from vgg_keras.data import odd_formats
from vgg_keras.data.resampling import resample

# Krizhevsky's RGB shift uses the principal components of pixels on the 0..1 scale. The scale matters, since eigenvalues
# are squared levels: with those of the 0..255 scale the shift would be 255 times too large.
_LEVELS = 255.0


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP to the pixels that Pillow decodes it to, or refuses it.

    Args:
        image_bytes: () string, the encoded image.

    Returns:
        (H, W, 3) uint8 RGB; a grey channel is repeated three times, an alpha channel or transparency is dropped, and of
        16 bits the high byte is kept.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such an image, or an image of a rare kind that is not decoded.
    """

    def decode_jpeg() -> tf.Tensor:
        with tf.control_dependencies([_jpeg_shape(image_bytes)]):
            return tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")

    image = tf.cond(tf.io.is_jpeg(image_bytes), decode_jpeg, lambda: _decode_other(image_bytes))
    return tf.ensure_shape(image, (None, None, 3))


# A branch of a graph that is not taken costs time for each of its operations, here of some hundred. As a function that
# is not copied into the graph that calls it, it is a single one.
_one_operation = tf.function(
    odd_formats.decode, (tf.TensorSpec((), tf.string),), autograph=False, experimental_attributes={"_noinline": True}
)


def _decode_other(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes an image that is no JPEG: () string -> (H, W, 3) uint8."""
    return odd_formats.decode(image_bytes) if tf.executing_eagerly() else _one_operation(image_bytes)


def _jpeg_shape(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns (height, width, channels) of a JPEG, (3,) int32, without decoding it.

    Raises:
        tf.errors.InvalidArgumentError: the header is damaged, or the JPEG is CMYK and does not tell whether 0 is full
            ink or none. Those of Adobe's programs tell it.
    """
    shape = tf.io.extract_jpeg_shape(image_bytes)
    # Conditions, as `tf.cond` and TensorFlow's own assertions make, take longer than to search a few bytes.
    searched = tf.where(shape[2] < 4, tf.constant(b"Adobe"), image_bytes)
    told = tf.strings.regex_full_match(searched, r"\C*Adobe\C*")
    message = tf.constant("a CMYK JPEG without the marker of Adobe; save it as RGB")
    with tf.control_dependencies([tf.raw_ops.Assert(condition=told, data=[message], summarize=3)]):
        return tf.identity(shape)


def rescaled_size(size: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
    """Computes the size after isotropic rescaling (arXiv:1409.1556, sect. 3.1).

    Args:
        size: (..., 2) int32, size of the image.
        smallest_side: () int32, length of the smaller side afterwards, in pixels: S in training, Q in testing.

    Returns:
        (..., 2) int32; the smaller side is exactly `smallest_side`, the other is rounded half up.
    """
    size = tf.cast(size, tf.int64)
    smallest = tf.reduce_min(size, axis=-1, keepdims=True)
    return tf.cast((2 * size * tf.cast(smallest_side, tf.int64) + smallest) // (2 * smallest), tf.int32)


def rescale(image: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
    """Rescales an image isotropically, so that its smaller side is `smallest_side` (arXiv:1409.1556, sect. 3.1).

    Args:
        image: (H, W, 3), uint8 or float, 0..255.
        smallest_side: () int32, length of the smaller side afterwards, in pixels.

    Returns:
        (H', W', 3) float32, 0..255; interpolated bilinearly, with a low-pass filter if the image shrinks.
    """
    size = rescaled_size(tf.shape(image)[:2], smallest_side)
    return tf.image.resize(image, size, antialias=True)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds an image to whole levels, such as for writing it to a file: float -> uint8, clipped to 0..255."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def center_offset(size: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Returns the (top, left) of the centre crop, (2,) int32, given an image's size; halves are rounded down."""
    return (size - crop_size) // 2


def center_crop(image: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Cuts out the centre: (H, W, 3), H, W >= crop_size -> (crop_size, crop_size, 3), dtype unchanged."""
    return _crop(image, center_offset(tf.shape(image)[:2], crop_size), crop_size)


def random_offset(size: tf.Tensor, crop_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws the offset of a crop uniformly from all positions inside the image.

    Args:
        size: (2,) int32, size of the image, both sides at least `crop_size`.
        crop_size: side of the crop in pixels.
        seed: (2,) integers.

    Returns:
        (2,) int32, (top, left).
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    offsets = [tf.random.stateless_uniform((), seeds[axis], 0, size[axis] - crop_size + 1, tf.int32) for axis in (0, 1)]
    return tf.stack(offsets)


def random_crop(image: tf.Tensor, crop_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Cuts out a random crop: (H, W, 3) -> (crop_size, crop_size, 3), dtype unchanged (arXiv:1409.1556, sect. 3.1)."""
    return _crop(image, random_offset(tf.shape(image)[:2], crop_size, seed), crop_size)


def _crop(image: tf.Tensor, offset: tf.Tensor, crop_size: int) -> tf.Tensor:
    return tf.image.crop_to_bounding_box(image, offset[0], offset[1], crop_size, crop_size)


def cut_out(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Cuts a window out of an image: (H, W, 3) -> (height, width, 3).

    Args:
        image: the image.
        window: (4,) int32: top, left, height and width in pixels, inside the image.
    """
    top, left, height, width = tf.unstack(window)
    return image[top : top + height, left : left + width]


def draw_flip(seed: tf.Tensor) -> tf.Tensor:
    """Draws whether an image is mirrored, () bool, true with probability 1/2 (arXiv:1409.1556, sect. 3.1)."""
    return tf.random.stateless_uniform((), seed) < 0.5


def random_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors an image, (H, W, 3), left to right where `draw_flip` says so for the seed."""
    return tf.where(draw_flip(seed), tf.reverse(image, [1]), image)


def draw_rgb_shift(eigenvectors: tf.Tensor, eigenvalues: tf.Tensor, stddev: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws what is added to all pixels: a random combination of the RGB principal components.

    It is [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T with a from a normal distribution of mean 0, where p and l are the
    eigenvectors and eigenvalues on the 0..1 scale (Krizhevsky 2012, sect. 4.1). (On ImageNet it has a standard
    deviation of about 5 levels.)

    Args:
        eigenvectors: (3, 3), eigenvectors of the RGB covariance as columns of length 1.
        eigenvalues: (3,), eigenvalues of the RGB covariance in squared levels of the 0..255 scale.
        stddev: standard deviation of the factors a; 0.1 in the paper, 0 for no shift.
        seed: (2,) integers.

    Returns:
        (3,) float32, levels of the 0..255 scale. Shifted pixels may lie outside it, since clipping would distort the
        colours.
    """
    factors = tf.random.stateless_normal((3,), seed, stddev=stddev)
    components = tf.cast(eigenvectors, tf.float32) * (factors * tf.cast(eigenvalues, tf.float32) / _LEVELS)
    return tf.reduce_sum(components, axis=1)


def random_scale(scale_range: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Draws the training scale S, () int32, uniformly from Smin to Smax, both included (arXiv:1409.1556, sect. 3.1)."""
    low, high = scale_range
    return tf.random.stateless_uniform((), seed, low, high + 1, dtype=tf.int32)


def crop_grid(image: tf.Tensor, crop_size: int, grid: int = 5) -> tf.Tensor:
    """Cuts a regular grid of crops, corners included (multi-crop testing, arXiv:1409.1556, sect. 3.2).

    Args:
        image: (H, W, 3), H, W >= crop_size.
        crop_size: side of the crops in pixels.
        grid: number of crops along each axis, at least 2.

    Returns:
        (grid * grid, crop_size, crop_size, 3), row by row, dtype unchanged. Offsets are i * (side - crop_size) / (grid
        - 1), rounded half up, for i = 0 .. grid - 1.
    """
    room = tf.shape(image)[:2] - crop_size
    steps = tf.range(grid)[:, tf.newaxis]  # (grid, 1)
    offsets = (2 * steps * room + (grid - 1)) // (2 * (grid - 1))  # (grid, 2)
    # One strip for each row of the grid, then one cut for each column: 25 crops on their own take seconds to trace.
    strips = tf.gather(image, offsets[:, :1] + tf.range(crop_size))  # (grid, crop_size, W, 3)
    columns = [strips[:, :, offsets[column, 1] : offsets[column, 1] + crop_size] for column in range(grid)]
    return tf.reshape(tf.stack(columns, axis=1), (grid * grid, crop_size, crop_size, 3))


def decode_window(image_bytes: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    """Decodes a part of an image; of a JPEG the rest is not decoded, so that colours at the border may round otherwise.

    Args:
        image_bytes: () string, the encoded image.
        begin: (2,) int32, first row and column.
        end: (2,) int32, row and column after the last ones.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not an image that `decode` takes.
    """

    def decode_jpeg() -> tf.Tensor:
        window = tf.concat([begin, end - begin], axis=0)
        return tf.io.decode_and_crop_jpeg(image_bytes, window, channels=3, dct_method="INTEGER_ACCURATE")

    def decode_whole() -> tf.Tensor:
        return _decode_other(image_bytes)[begin[0] : end[0], begin[1] : end[1]]

    pixels = tf.cond(tf.io.is_jpeg(image_bytes), decode_jpeg, decode_whole)
    return tf.ensure_shape(pixels, (None, None, 3))


def decode_rescaled_window(
    image_bytes: tf.Tensor, size: tf.Tensor, smallest_side: tf.Tensor, offset: tf.Tensor, crop_size: int
) -> tf.Tensor:
    """Computes one crop of a rescaled image from the encoded image; of a JPEG it decodes only the part it needs.

    The result equals that of `decode`, `rescale` and a crop at `offset`, up to the decoder's rounding of colours at the
    border of the decoded part.

    Args:
        image_bytes: () string, the encoded image.
        size: (2,) int32, size of the encoded image (`encoded_size`).
        smallest_side: () int32, smaller side of the rescaled image in pixels, S or Q.
        offset: (2,) int32, (top, left) of the crop in the rescaled image.
        crop_size: side of the crop in pixels.

    Returns:
        (crop_size, crop_size, 3) float32, 0..255.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not an image that `decode` takes.
    """
    target = rescaled_size(size, smallest_side)
    scale = tf.cast(target, tf.float32) / tf.cast(size, tf.float32)
    # The triangle kernel reaches one source pixel, or 1/scale pixels when the image shrinks. The other 8 pixels are for
    # the decoder, whose chroma filter reaches one chroma sample, which spans up to four pixels.
    margin = tf.maximum(1.0, 1.0 / scale) + 8.0
    begin = tf.cast(tf.maximum(tf.cast(offset, tf.float32) / scale - margin, 0.0), tf.int32)
    end = tf.cast(tf.math.ceil(tf.cast(offset + crop_size, tf.float32) / scale + margin), tf.int32)
    end = tf.minimum(end, size)
    pixels = decode_window(image_bytes, begin, end)

    def cut() -> tf.Tensor:
        return tf.cast(tf.slice(pixels, tf.pad(offset - begin, [[0, 1]]), (crop_size, crop_size, 3)), tf.float32)

    def resized() -> tf.Tensor:
        translation = tf.cast(begin, tf.float32) * scale - tf.cast(offset, tf.float32)
        return resample(pixels, (crop_size, crop_size), scale, translation)

    # A photo that already has this size keeps its pixels; resampling would give the same ones, and takes longer.
    return tf.cond(tf.reduce_all(target == size), cut, resized)


def decode_center(image_bytes: tf.Tensor, smallest_side: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Computes the centre crop of a rescaled image from the encoded image: () string -> (crop, crop, 3) float32.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not an image that `decode` takes.
    """
    size = encoded_size(image_bytes)
    offset = center_offset(rescaled_size(size, smallest_side), crop_size)
    return decode_rescaled_window(image_bytes, size, smallest_side, offset, crop_size)


def encoded_size(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns the size of an encoded image, () string -> (2,) int32; a JPEG need not be decoded.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not an image that `decode` takes.
    """

    def other_size() -> tf.Tensor:
        return tf.shape(_decode_other(image_bytes))[:2]

    return tf.cond(tf.io.is_jpeg(image_bytes), lambda: _jpeg_shape(image_bytes)[:2], other_size)
