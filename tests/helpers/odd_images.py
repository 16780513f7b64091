"""Makes images of every kind that PNG, GIF and BMP know, byte by byte, with the pixels that they stand for.

Pillow writes only a few of the kinds, so the files are put together here, after the formats' specifications.
"""

import struct
import zlib
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 13, 9
_RNG = np.random.default_rng(0)
RGB = _RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY, ALPHA = RGB[..., :1], RGB[..., 1:2]
PALETTE = _RNG.integers(0, 256, (256, 3), np.uint8)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


class OddImage(NamedTuple):
    """An encoded image.

    Attributes:
        kind: what is special about it.
        content: the encoded image.
        pixels: (H, W, 3) uint8, the pixels that it stands for, without transparency.
        in_graph: whether TensorFlow's graph decodes it; otherwise it has to refuse it.
    """

    kind: str
    content: bytes
    pixels: np.ndarray
    in_graph: bool = True


def _levels(samples, depth):
    """Returns samples of `depth` bits as levels 0..255."""
    return (samples >> 8 if depth == 16 else samples * (255 // (2**depth - 1))).astype(np.uint8)


def _pack(row, depth):
    if depth >= 8:
        return row.astype(">u2" if depth == 16 else np.uint8).tobytes()
    return np.packbits(np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]).tobytes()


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, colour_type, *, interlaced=False, palette=None, transparency=None):
    """Encodes samples, (H, W, C) of `depth` bits, as a PNG."""
    parts = [samples[top::down, left::right] for top, left, down, right in _ADAM7] if interlaced else [samples]
    rows = b"".join(b"\0" + _pack(row, depth) for part in parts if part.size for row in part)
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", transparency),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks if data is not None)


def pngs():
    """Yields a PNG of each colour type, depth and order of rows, with and without transparency."""
    wide = RGB.astype(int) * 256 + RGB[::-1]  # 16 bits, whose low bytes are others than the high ones
    for interlaced in (False, True):
        order = " interlaced" * interlaced
        for depth in (1, 2, 4, 8, 16):
            grey = wide[..., :1] >> (16 - depth)
            expected = np.repeat(_levels(grey, depth), 3, axis=-1)
            yield OddImage(f"PNG grey {depth}{order}", png(grey, depth, 0, interlaced=interlaced), expected)
            see_through = png(grey, depth, 0, interlaced=interlaced, transparency=struct.pack(">H", grey[2, 2, 0]))
            yield OddImage(f"PNG grey {depth} with a transparent level{order}", see_through, expected)
        for depth in (1, 2, 4, 8):
            index, colours = GREY >> (8 - depth), PALETTE[: 2**depth]
            settings = {"interlaced": interlaced, "palette": colours.tobytes()}
            yield OddImage(f"PNG palette {depth}{order}", png(index, depth, 3, **settings), colours[index[..., 0]])
            see_through = png(index, depth, 3, **settings, transparency=bytes(range(0, 256, 128 >> (depth - 1))))
            yield OddImage(f"PNG palette {depth} with alpha{order}", see_through, colours[index[..., 0]])
        for depth, samples in ((8, RGB), (16, wide)):
            alpha = np.concatenate([samples, samples[..., :1]], axis=-1)
            grey_alpha = samples[..., :2]
            expected = _levels(samples, depth) if depth == 16 else RGB
            colour = struct.pack(">HHH", *samples[2, 2])
            yield OddImage(f"PNG RGB {depth}{order}", png(samples, depth, 2, interlaced=interlaced), expected)
            see_through = png(samples, depth, 2, interlaced=interlaced, transparency=colour)
            yield OddImage(f"PNG RGB {depth} with a transparent colour{order}", see_through, expected)
            yield OddImage(f"PNG RGBA {depth}{order}", png(alpha, depth, 6, interlaced=interlaced), expected)
            content = png(grey_alpha, depth, 4, interlaced=interlaced)
            yield OddImage(f"PNG grey and alpha {depth}{order}", content, np.repeat(expected[..., :1], 3, axis=-1))


def _gif_data(indices):
    """Codes indices below 64 with codes of 7 bits, cleared so often that the codes never grow longer (LZW)."""
    codes = [code for index in indices.flat for code in (64, int(index))] + [65]
    bits = "".join(f"{code:07b}"[::-1] for code in codes)
    data = bytes(int(bits[start : start + 8][::-1], 2) for start in range(0, len(bits), 8))
    blocks = [data[start : start + 255] for start in range(0, len(data), 255)]
    return b"\x06" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(frames, *, transparent=None, size=(WIDTH, HEIGHT)):
    """Encodes frames (left, top, indices (H, W) below 64) as a GIF; `transparent` is an index or None."""
    content = b"GIF89a" + struct.pack("<HHBBB", *size, 0x85, 7, 0) + PALETTE[:64].tobytes()
    content += b"\x21\xfe\x05hello\x03you\0"  # a comment of two blocks
    for left, top, indices in frames:
        if transparent is not None:
            content += b"\x21\xf9\x04" + struct.pack("<BHB", 0x05, 10, transparent) + b"\0"
        height, width = indices.shape
        content += b"," + struct.pack("<HHHHB", left, top, width, height, 0) + _gif_data(indices)
    return content + b";"


def gifs():
    """Yields GIFs with and without transparency, animated, and with frames that do not cover the picture."""
    indices = GREY[..., 0] % 64
    pixels, index = PALETTE[indices], int(indices[2, 2])
    yield OddImage("GIF", gif([(0, 0, indices)]), pixels)
    yield OddImage("GIF transparent", gif([(0, 0, indices)], transparent=index), pixels)
    frames = [(0, 0, indices), (3, 2, indices[:4, :4])]
    yield OddImage("GIF animated", gif(frames), pixels)
    yield OddImage("GIF animated, transparent", gif(frames, transparent=index), pixels)
    # Pillow gives the pixels around the frame the first colour.
    framed = np.zeros((HEIGHT, WIDTH), int)
    framed[2:6, 3:7] = indices[:4, :4]
    yield OddImage("GIF with a small frame", gif([(3, 2, indices[:4, :4])]), PALETTE[framed], in_graph=False)
    frames = [(3, 2, indices[:4, :4]), (0, 0, indices)]
    yield OddImage("GIF with a small first frame", gif(frames), PALETTE[framed], in_graph=False)


def bmp(rows, bits, *, compression=0, palette=b"", masks=b"", header=40, colours=0, top_down=False):
    """Encodes rows of bytes, from top to bottom, as a BMP; those of OS/2 have a header of 12 bytes."""
    if compression in (0, 3):
        rows = [row + bytes(-len(row) % 4) for row in rows]
    data = b"".join(rows if top_down else rows[::-1])
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    else:
        height = -HEIGHT if top_down else HEIGHT
        info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 0, 0, colours, 0)
        info += masks.ljust(header - 40, b"\0")
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data


def bmps():
    """Yields BMPs of every number of bits, with each kind of header, upside down, compressed and with bit fields."""
    bgr = [row.tobytes() for row in RGB[..., ::-1]]
    bgra = [row.tobytes() for row in np.concatenate([RGB[..., ::-1], ALPHA], axis=-1)]
    rgba = [row.tobytes() for row in np.concatenate([RGB, ALPHA], axis=-1)]
    colours = np.concatenate([PALETTE[:, ::-1], np.zeros((256, 1), np.uint8)], axis=-1)
    bgr_masks, rgb_masks = (
        struct.pack("<IIII", *masks, 0xFF << 24) for masks in ((0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000))
    )
    yield OddImage("BMP 24", bmp(bgr, 24), RGB)
    yield OddImage("BMP 24 top-down", bmp(bgr, 24, top_down=True), RGB)
    yield OddImage("BMP 24 with a long header", bmp(bgr, 24, header=124), RGB)
    yield OddImage("BMP 24 of OS/2", bmp(bgr, 24, header=12), RGB, in_graph=False)
    yield OddImage("BMP 32", bmp(bgra, 32), RGB)
    yield OddImage("BMP 32 with alpha", bmp(bgra, 32, compression=3, header=108, masks=bgr_masks), RGB)
    yield OddImage(
        "BMP 32 in another order", bmp(rgba, 32, compression=3, header=108, masks=rgb_masks), RGB, in_graph=False
    )
    for bits in (1, 4, 8):
        indices = GREY[..., 0] >> (8 - bits)
        rows, used = [_pack(row, bits) for row in indices], colours[: 2**bits].tobytes()
        for top_down in (False, True):
            content = bmp(rows, bits, palette=used, top_down=top_down)
            yield OddImage(f"BMP {bits}{' top-down' * top_down}", content, PALETTE[indices], in_graph=bits == 8)
    few = GREY[..., 0] % 9
    rows = [row.tobytes() for row in few]
    yield OddImage("BMP 8 of 9 colours", bmp(rows, 8, palette=colours[:9].tobytes(), colours=9), PALETTE[few])
    runs = [b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in few]
    runs[0] += b"\0\1"  # the end, after the topmost row, which comes last
    yield OddImage(
        "BMP 8 run-length", bmp(runs, 8, compression=1, palette=colours.tobytes()), PALETTE[few], in_graph=False
    )
    fives = RGB >> 3
    rows = [row.astype("<u2").tobytes() for row in fives @ np.array([1 << 10, 1 << 5, 1])]
    yield OddImage("BMP 16", bmp(rows, 16), (fives.astype(int) * 255 // 31).astype(np.uint8), in_graph=False)


ALL = (*pngs(), *gifs(), *bmps())
