"""Reads the size of an encoded image from its header, as TensorFlow ops.

Guards against decompression bombs: a file of a few kilobytes may decode to gigapixels, so its size has to be known
before memory is allocated. `preprocessing` refuses an image that is too large.
"""

import tensorflow as tf

# Appended to a file, so that reading its header never runs past the end; longer than any header that is read.
_PADDING = bytes(32)
_PNG, _GIF, _BMP = b"\x89PNG", b"GIF8", b"BM"
# First bytes of a GIF's frames and extensions; any other one ends the file (GIF89a specification, sect. 15 ff.).
_GIF_FRAME, _GIF_EXTENSION = 0x2C, 0x21
_GIF_HEADER, _GIF_FRAME_HEADER = 13, 10
_GIF_FULL_BLOCK = 255


def declared_pixels(image_bytes: tf.Tensor, enough: int) -> tf.Tensor:
    """Returns the number of pixels that a decoder would produce.

    For a GIF, the pixels of all frames count, because TensorFlow decodes them all to return the first.

    Args:
        image_bytes: () string, a JPEG, PNG, GIF or BMP.
        enough: number of pixels above which counting may stop.

    Returns:
        () int64; 0 if the bytes are none of these formats, or end before the size.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG's header is damaged.
    """
    header = tf.strings.substr(image_bytes + _PADDING, 0, len(_PADDING))
    start = tf.strings.substr(header, 0, 4)
    return tf.case(
        [
            (tf.io.is_jpeg(image_bytes), lambda: _jpeg(image_bytes)),
            (start == _PNG, lambda: _area(header, 16, tf.int32, little_endian=False)),
            (start == _GIF, lambda: tf.maximum(_area(header, 6, tf.uint16), _gif_frames(image_bytes, enough))),
            (tf.strings.substr(start, 0, 2) == _BMP, lambda: _bmp(header)),
        ],
        default=lambda: tf.constant(0, tf.int64),
    )


def _jpeg(image_bytes: tf.Tensor) -> tf.Tensor:
    height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(image_bytes, output_type=tf.int32))
    return tf.cast(height, tf.int64) * tf.cast(width, tf.int64)


def _bmp(header: tf.Tensor) -> tf.Tensor:
    # The header of OS/2 is 12 bytes long, and has smaller fields. In the others a negative height means that rows are
    # stored from top to bottom; `_area` drops the sign.
    of_os2 = tf.strings.substr(header, 14, 4) == b"\x0c\0\0\0"
    return tf.cond(of_os2, lambda: _area(header, 18, tf.uint16), lambda: _area(header, 18, tf.int32))


def _area(header: tf.Tensor, position: int, dtype: tf.DType, *, little_endian: bool = True) -> tf.Tensor:
    """Reads width and height, two adjacent numbers of a header, and returns their product."""
    digits = tf.strings.substr(header, position, 2 * dtype.size)
    sides = tf.io.decode_raw(digits, dtype, little_endian=little_endian)
    width, height = tf.unstack(tf.ensure_shape(tf.cast(sides, tf.int64), (2,)))
    return tf.abs(width) * tf.abs(height)


def _gif_frames(image_bytes: tf.Tensor, enough: int) -> tf.Tensor:
    """Sums the pixels of all frames, block by block; anything after a damaged block is left to the decoder."""
    content = tf.io.decode_raw(image_bytes + _PADDING, tf.uint8)
    length = tf.size(content) - len(_PADDING)

    def number(position: tf.Tensor) -> tf.Tensor:
        return tf.cast(content[position], tf.int64) + 256 * tf.cast(content[position + 1], tf.int64)

    def colour_table(position: tf.Tensor) -> tf.Tensor:
        flags = tf.cast(content[position], tf.int32)
        return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def frame(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        area = number(position + 5) * number(position + 7)
        # The frame's colour table is followed by a byte with the LZW code size, then by the data.
        return position + _GIF_FRAME_HEADER + colour_table(position + 9) + 1, area

    def step(position: tf.Tensor, pixels: tf.Tensor, in_data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        byte = tf.cast(content[position], tf.int32)

        def data() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:  # a block of data begins with its length; 0 ends the data
            # Nearly all blocks are full. A run of full ones is skipped in one step, or a large file would take seconds.
            not_full = content[position :: _GIF_FULL_BLOCK + 1] != _GIF_FULL_BLOCK
            full = tf.where(tf.reduce_any(not_full), tf.argmax(not_full, output_type=tf.int32), tf.size(not_full))
            after = tf.where(full > 0, position + full * (_GIF_FULL_BLOCK + 1), position + byte + 1)
            return after, pixels, byte > 0

        def block() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            after, area = tf.cond(
                byte == _GIF_FRAME,
                lambda: frame(position),
                lambda: (tf.where(byte == _GIF_EXTENSION, position + 2, length), tf.constant(0, tf.int64)),
            )
            return after, pixels + area, tf.constant(True)

        return tf.cond(in_data, data, block)

    first = _GIF_HEADER + colour_table(tf.constant(10))
    _, frames, _ = tf.while_loop(
        lambda position, pixels, _: (position < length) & (pixels <= enough),
        step,
        (first, tf.constant(0, tf.int64), tf.constant(False)),
    )
    return frames
