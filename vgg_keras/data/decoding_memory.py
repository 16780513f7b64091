"""Bounds the memory in which photos are decoded at the same time, over all processes of a pool.

A photo takes memory by its pixels, not by the size of its file, and a pool decodes as many photos at a time as it has
processes. So each process reserves the memory of a photo before it decodes it, and waits until there is enough.

The process that starts a pool makes the memory, and hands it to the others:

    memory = DecodingMemory.of_machine(context)
    ProcessPoolExecutor(workers, context, initializer=decoding_memory.share, initargs=(memory,))

A process to which none was handed decodes one photo after the other, and does not wait.
"""

import contextlib
import ctypes
from collections.abc import Iterator
from multiprocessing.context import BaseContext

from vgg_keras.utils.hardware import memory_bytes

# Most memory that the preparation of a photo was seen to take, for each pixel (23.5 bytes, for a WebP that is stored as
# JPEG): Pillow keeps RGB in four bytes, and a photo that is turned, encoded and measured exists several times.
BYTES_PER_PIXEL = 24
# Fraction of the machine's memory that all photos together may take. The rest is for the encoded photos, the libraries
# in each process, and others on the machine.
_FRACTION = 0.5


class DecodingMemory:
    """Memory for decoded photos that processes share; it reaches other processes when they are started.

    Args:
        limit: number of bytes that may be reserved at a time.
        context: the way in which the processes are started.
    """

    def __init__(self, limit: int, context: BaseContext):
        self._limit = limit
        self._changed = context.Condition()
        self._reserved = context.RawValue(ctypes.c_longlong, 0)

    @classmethod
    def of_machine(cls, context: BaseContext) -> "DecodingMemory":
        """Returns half of the memory that this process may use."""
        return cls(int(memory_bytes() * _FRACTION), context)

    @contextlib.contextmanager
    def reserved(self, pixels: int) -> Iterator[None]:
        """Reserves the memory for a photo inside the context, and first waits until there is enough.

        A photo that needs more than the limit waits until no other one is being decoded, and is then decoded alone.

        Args:
            pixels: number of pixels of the photo.
        """
        needed = pixels * BYTES_PER_PIXEL
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved.value or self._reserved.value + needed <= self._limit)
            self._reserved.value += needed
        try:
            yield
        finally:
            with self._changed:
                self._reserved.value -= needed
                self._changed.notify_all()


_shared: DecodingMemory | None = None


def share(memory: DecodingMemory) -> None:
    """Makes this process decode photos in memory that it shares with others; the initializer of a pool's processes."""
    global _shared
    _shared = memory


def reserved(pixels: int) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which a photo of a number of pixels may be decoded; entering it waits for memory."""
    return _shared.reserved(pixels) if _shared else contextlib.nullcontext()
