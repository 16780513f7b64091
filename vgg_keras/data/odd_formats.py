"""Decodes BMPs and GIFs inside a graph as Pillow decodes them, where TensorFlow's own decoders read them otherwise."""

import tensorflow as tf

# Appended to a file, so that reading a position never runs past the end.
_PADDING = bytes(16)

# Positions in a BMP, and the values that TensorFlow decodes rightly; it looks at the bits alone.
_BMP_HEADER, _BMP_BITS, _BMP_COMPRESSION, _BMP_COLOURS, _BMP_MASKS = 14, 28, 30, 46, 54
_BMP_SMALLEST_HEADER = 40  # the one of OS/2 is shorter, and has its fields elsewhere
_BMP_UNCOMPRESSED, _BMP_BIT_FIELDS = 0, 3
_BMP_BGR_MASKS = (0xFF0000, 0xFF00, 0xFF)

# Positions in a GIF, and the first bytes of its blocks (GIF89a specification, sect. 15 ff.).
_GIF_SCREEN, _GIF_FLAGS, _GIF_HEADER = 6, 10, 13
_GIF_EXTENSION, _GIF_CONTROL = 0x21, 0xF9


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG, GIF (its first frame) or BMP, or any other format that TensorFlow knows.

    Args:
        image_bytes: () string, the encoded image.

    Returns:
        (H, W, 3) uint8 RGB; a grey channel is repeated three times, an alpha channel or transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: the bytes are not such an image, or one of a kind that is not decoded.
    """

    def decode_image(content: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_image(content, channels=3, expand_animations=False)

    start = tf.strings.substr(image_bytes + _PADDING, 0, 4)
    image = tf.case(
        [
            (tf.strings.substr(start, 0, 2) == b"BM", lambda: _decode_bmp(image_bytes)),
            (start == b"GIF8", lambda: decode_image(_opaque_gif(image_bytes))),
        ],
        default=lambda: decode_image(image_bytes),
    )
    return tf.ensure_shape(image, (None, None, 3))


def _number(content: tf.Tensor, position: int, dtype: tf.DType) -> tf.Tensor:
    """Reads a number of a header, stored from its lowest byte on, as () int64; 0 behind the end."""
    digits = tf.strings.substr(content + bytes(position + 8), position, dtype.size)
    return tf.cast(tf.io.decode_raw(digits, dtype), tf.int64)[0]


def _decode_bmp(content: tf.Tensor) -> tf.Tensor:
    header, compression = (_number(content, at, tf.int32) for at in (_BMP_HEADER, _BMP_COMPRESSION))
    bits = _number(content, _BMP_BITS, tf.uint16)
    masks = [_number(content, _BMP_MASKS + 4 * index, tf.int32) for index in range(3)]
    has_known_bits = tf.reduce_any(bits == tf.constant([8, 24, 32], tf.int64))
    is_bgr = tf.reduce_all(tf.stack(masks) == tf.constant(_BMP_BGR_MASKS, tf.int64))
    plain = (compression == _BMP_UNCOMPRESSED) | ((compression == _BMP_BIT_FIELDS) & (bits == 32) & is_bgr)
    message = tf.strings.format(
        "a BMP of this kind cannot be decoded (header of {} bytes, {} bits a pixel, compression {}); save it as PNG",
        (header, bits, compression),
    )
    known = tf.debugging.Assert((header >= _BMP_SMALLEST_HEADER) & has_known_bits & plain, [message])
    with tf.control_dependencies([known]):
        pixels = tf.io.decode_bmp(content)
    return tf.cond(bits == 8, lambda: _coloured(pixels, content, header), lambda: pixels[..., :3])


def _coloured(indices: tf.Tensor, content: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    """Looks the indices of a BMP, (H, W, 1) uint8, up in its palette, which TensorFlow ignores: (H, W, 3)."""
    colours = _number(content, _BMP_COLOURS, tf.int32)
    colours = tf.where((colours == 0) | (colours > 256), tf.constant(256, tf.int64), colours)
    start = tf.minimum(_BMP_HEADER + header, tf.cast(tf.strings.length(content), tf.int64))
    palette = tf.strings.substr(content + _PADDING, start, 4 * colours)
    entries = tf.io.decode_raw(tf.strings.substr(palette + bytes(1024), 0, 1024), tf.uint8)
    return tf.gather(tf.reshape(entries, (256, 4))[:, 2::-1], tf.cast(indices[..., 0], tf.int32))


def _opaque_gif(content: tf.Tensor) -> tf.Tensor:
    """Returns a GIF without the transparency of its first frame, since TensorFlow paints transparent pixels black.

    Raises:
        tf.errors.InvalidArgumentError: the first frame does not cover the picture. TensorFlow would cut the picture to
            it, or fill the rest with black, while Pillow fills it with the first colour.
    """
    frame, control = _find_first_frame(content)
    screen = _gif_numbers(content, tf.constant(_GIF_SCREEN), 2)  # width, height
    placed = _gif_numbers(content, frame + 1, 4)  # left, top, width, height
    covers = tf.reduce_all(placed[:2] == 0) & tf.reduce_all(placed[2:] >= screen)
    message = "a GIF whose first frame does not cover it cannot be decoded; save it as PNG"
    with tf.control_dependencies([tf.debugging.Assert(covers, [message])]):
        content = tf.identity(content)
    # The flags of the control block; without them the frame has no transparent colour.
    has_flags = (control >= 0) & (control + 1 < tf.strings.length(content))
    return tf.cond(
        has_flags,
        lambda: tf.strings.join(
            [tf.strings.substr(content, 0, control), bytes(1), tf.strings.substr(content, control + 1, tf.int32.max)]
        ),
        lambda: content,
    )


def _gif_numbers(content: tf.Tensor, position: tf.Tensor, count: int) -> tf.Tensor:
    digits = tf.strings.substr(content + _PADDING, position, 2 * count)
    return tf.cast(tf.ensure_shape(tf.io.decode_raw(digits, tf.uint16), (count,)), tf.int32)


def _find_first_frame(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the positions of a GIF's first frame, and of the flags of the control block before it or -1."""
    values = tf.cast(tf.io.decode_raw(content + _PADDING, tf.uint8), tf.int32)
    length = tf.size(values) - len(_PADDING)

    def step(position: tf.Tensor, control: tf.Tensor, inside: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Steps over the start of an extension, or over a block of its data, which begins with its length."""
        is_control = ~inside & (values[position + 1] == _GIF_CONTROL)
        after = tf.where(inside, position + 1 + values[position], position + 2)
        return after, tf.where(is_control, position + 3, control), ~inside | (values[position] > 0)

    flags = values[_GIF_FLAGS]
    first = _GIF_HEADER + tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)
    frame, control, _ = tf.while_loop(
        lambda position, control, inside: (position < length) & (inside | (values[position] == _GIF_EXTENSION)),
        step,
        (first, tf.constant(-1), tf.constant(False)),
    )
    return tf.minimum(frame, length), control
