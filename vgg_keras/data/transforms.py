"""Image functions of training and testing: pure and stateless; randomness comes from an explicit seed.

Sizes are (height, width) in pixels, images (H, W, 3). Resized images are float32 and keep the 0..255 scale.
"""

import tensorflow as tf

# Krizhevsky's RGB shift uses principal components of pixels on the 0..1 scale; eigenvalues are squared levels, so the
# scale matters: with those of 0..255 the shift would be 255 times too large.
_LEVELS = 255.0


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP.

    Args:
        image_bytes: () string.

    Returns:
        (H, W, 3) uint8 RGB; grey images are repeated over the channels, an alpha channel is dropped.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no such image.
    """

    def decode_jpeg() -> tf.Tensor:
        return tf.io.decode_jpeg(image_bytes, channels=3, dct_method="INTEGER_ACCURATE")

    def decode_other() -> tf.Tensor:
        return tf.io.decode_image(image_bytes, channels=3, expand_animations=False)

    image = tf.cond(tf.io.is_jpeg(image_bytes), decode_jpeg, decode_other)
    return tf.ensure_shape(image, (None, None, 3))


def rescaled_size(size: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
    """Computes the size after isotropic rescaling (arXiv:1409.1556, sect. 3.1).

    Args:
        size: (2,) int32, the image's size.
        smallest_side: () int32, S in training, Q in testing.

    Returns:
        (2,) int32; the smaller side is exactly `smallest_side`, the other is rounded half up.
    """
    size = tf.cast(size, tf.int64)
    smallest = tf.reduce_min(size)
    return tf.cast((2 * size * tf.cast(smallest_side, tf.int64) + smallest) // (2 * smallest), tf.int32)


def rescale(image: tf.Tensor, smallest_side: tf.Tensor) -> tf.Tensor:
    """Rescales isotropically, so that the smaller side is exactly `smallest_side` (arXiv:1409.1556, sect. 3.1).

    Args:
        image: (H, W, 3), uint8 or float, 0..255.
        smallest_side: () int32.

    Returns:
        (H', W', 3) float32, 0..255; bilinear, low-pass filtered when it shrinks.
    """
    size = rescaled_size(tf.shape(image)[:2], smallest_side)
    return tf.image.resize(image, size, antialias=True)


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Rounds an image to whole levels: float, 0..255 -> uint8, as pictures are written."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def center_offset(size: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Returns (2,) int32, the (top, left) of the centre crop of an image of this size; halves are rounded down."""
    return (size - crop_size) // 2


def center_crop(image: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Cuts the centre out: (H, W, 3) -> (crop_size, crop_size, 3), dtype unchanged; H, W >= crop_size."""
    return _crop(image, center_offset(tf.shape(image)[:2], crop_size), crop_size)


def random_offset(size: tf.Tensor, crop_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws a crop's place uniformly among all that fit.

    Args:
        size: (2,) int32, the image's size, at least `crop_size` each.
        crop_size: side of the crop.
        seed: (2,) int32.

    Returns:
        (2,) int32, (top, left).
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    places = [tf.random.stateless_uniform((), seeds[axis], 0, size[axis] - crop_size + 1, tf.int32) for axis in (0, 1)]
    return tf.stack(places)


def random_crop(image: tf.Tensor, crop_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Cuts a random crop out: (H, W, 3) -> (crop_size, crop_size, 3), dtype unchanged (arXiv:1409.1556, sect. 3.1)."""
    return _crop(image, random_offset(tf.shape(image)[:2], crop_size, seed), crop_size)


def _crop(image: tf.Tensor, offset: tf.Tensor, crop_size: int) -> tf.Tensor:
    return tf.image.crop_to_bounding_box(image, offset[0], offset[1], crop_size, crop_size)


def random_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right with probability 1/2: (H, W, 3) -> the same (arXiv:1409.1556, sect. 3.1)."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def rgb_shift(
    image: tf.Tensor, eigenvectors: tf.Tensor, eigenvalues: tf.Tensor, stddev: float, seed: tf.Tensor
) -> tf.Tensor:
    """Shifts all pixels by one random combination of the RGB principal components (Krizhevsky 2012, sect. 4.1).

    Adds [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T, a ~ N(0, stddev), p and l of pixels on the 0..1 scale. (On ImageNet the
    shift has a standard deviation of about 5 levels.)

    Args:
        image: (H, W, 3) float32, 0..255.
        eigenvectors: (3, 3), unit columns.
        eigenvalues: (3,), of the covariance on the 0..255 scale, squared levels.
        stddev: of the factors a; the paper's is 0.1.
        seed: (2,) int32.

    Returns:
        (H, W, 3) float32; values may leave 0..255, since clipping would bend the colours.
    """
    factors = tf.random.stateless_normal((3,), seed, stddev=stddev)
    components = tf.cast(eigenvectors, tf.float32) * (factors * tf.cast(eigenvalues, tf.float32) / _LEVELS)
    return image + tf.reduce_sum(components, axis=1)


def random_scale(scale_range: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Draws the training scale S uniformly from [Smin, Smax], both included (arXiv:1409.1556, sect. 3.1); () int32."""
    low, high = scale_range
    return tf.random.stateless_uniform((), seed, low, high + 1, dtype=tf.int32)


def crop_grid(image: tf.Tensor, crop_size: int, grid: int = 5) -> tf.Tensor:
    """Cuts a regular grid of crops, corners included (multi-crop testing, arXiv:1409.1556, sect. 3.2).

    Args:
        image: (H, W, 3), H, W >= crop_size.
        crop_size: side of the crops.
        grid: crops along each axis, at least 2.

    Returns:
        (grid * grid, crop_size, crop_size, 3), row by row, dtype unchanged. Offsets are i * (side - crop_size) / (grid
        - 1), rounded half up.
    """
    room = tf.shape(image)[:2] - crop_size
    steps = tf.range(grid)[:, tf.newaxis]  # (grid, 1)
    offsets = (2 * steps * room + (grid - 1)) // (2 * (grid - 1))  # (grid, 2)
    crops = [
        _crop(image, (offsets[row, 0], offsets[column, 1]), crop_size) for row in range(grid) for column in range(grid)
    ]
    return tf.stack(crops)


def decode_rescaled_window(
    image_bytes: tf.Tensor, size: tf.Tensor, smallest_side: tf.Tensor, offset: tf.Tensor, crop_size: int
) -> tf.Tensor:
    """Computes one crop of a rescaled image from the encoded one, and for JPEGs decodes only what the crop needs.

    Equals `decode`, `rescale` and a crop at `offset` up to the decoder's rounding of colours at the window's border.

    Args:
        image_bytes: () string.
        size: (2,) int32, the encoded image's size (`encoded_size`).
        smallest_side: () int32, S or Q.
        offset: (2,) int32, (top, left) of the crop in the rescaled image.
        crop_size: side of the crop.

    Returns:
        (crop_size, crop_size, 3) float32, 0..255.
    """
    target = rescaled_size(size, smallest_side)
    scale = tf.cast(target, tf.float32) / tf.cast(size, tf.float32)
    # The triangle kernel reaches one source pixel, or 1/scale of them when it shrinks; the rest is for the decoder,
    # whose chroma filter looks a pixel around, in steps of up to four.
    margin = tf.maximum(1.0, 1.0 / scale) + 8.0
    begin = tf.cast(tf.maximum(tf.cast(offset, tf.float32) / scale - margin, 0.0), tf.int32)
    end = tf.cast(tf.math.ceil(tf.cast(offset + crop_size, tf.float32) / scale + margin), tf.int32)
    end = tf.minimum(end, size)

    def decode_window() -> tf.Tensor:
        window = tf.concat([begin, end - begin], axis=0)
        return tf.io.decode_and_crop_jpeg(image_bytes, window, channels=3, dct_method="INTEGER_ACCURATE")

    def decode_whole() -> tf.Tensor:
        return decode(image_bytes)[begin[0] : end[0], begin[1] : end[1]]

    pixels = tf.cond(tf.io.is_jpeg(image_bytes), decode_window, decode_whole)
    crop = tf.raw_ops.ScaleAndTranslate(
        images=tf.ensure_shape(pixels, (None, None, 3))[tf.newaxis],
        size=(crop_size, crop_size),
        scale=scale,
        translation=tf.cast(begin, tf.float32) * scale - tf.cast(offset, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    return crop[0]


def decode_center(image_bytes: tf.Tensor, smallest_side: tf.Tensor, crop_size: int) -> tf.Tensor:
    """Computes the centre crop of a rescaled image from the encoded one: () string -> (crop, crop, 3) float32."""
    size = encoded_size(image_bytes)
    offset = center_offset(rescaled_size(size, smallest_side), crop_size)
    return decode_rescaled_window(image_bytes, size, smallest_side, offset, crop_size)


def encoded_size(image_bytes: tf.Tensor) -> tf.Tensor:
    """Returns (2,) int32, the size of an encoded image; JPEGs are not decoded for it."""

    def other_size() -> tf.Tensor:
        return tf.shape(decode(image_bytes))[:2]

    return tf.cond(tf.io.is_jpeg(image_bytes), lambda: tf.io.extract_jpeg_shape(image_bytes)[:2], other_size)
