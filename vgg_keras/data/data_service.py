"""Reads the elements of a training epoch from a `tf.data` service: in their order, and without a gap.

The dispatcher of the service gives each number of an element to one of its workers, which read, decode and crop the
photos on other machines. Their results come in any order, and those that a lost worker had not yet delivered never
come. But an element is a pure function of its number: here the elements are put in order again, and what is missing is
computed. So training gets the same bits as without the service, whatever its workers do.
"""

import contextvars
import functools
import itertools
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import tensorflow as tf

from vgg_keras.data import shards
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.input_pipeline import Augmentation, TrainingEpoch
from vgg_keras.data.untuned import untuned
from vgg_keras.utils import console
from vgg_keras.utils.errors import LostWorkerError, UserError, reason
from vgg_keras.utils.service_address import ServiceAddress

T = TypeVar("T")
# Number of images that may have come before one that is missing; of 224x224 pixels they take 0.6 GB. Workers are never
# so far apart unless one of them hangs or is lost.
_MOST_IMAGES_AHEAD = 4096
# Seconds: longer than any element takes, and soon enough for an epoch whose last elements are missing.
_LATE_AFTER = 30.0
_NUMBER = "position"
# As TensorFlow words it if a dispatcher does not know who asks, or knows it no longer.
_FORGOTTEN = ("Unknown iteration client", "garbage collected")


class DataService:
    """A `tf.data` service that decodes the training images of this process.

    Args:
        address: address of its dispatcher.
        patience: number of seconds to wait until it answers, and later for an element.
        late_after: number of seconds after which an element that does not come is computed here.

    Raises:
        LostWorkerError: it does not answer.
    """

    def __init__(self, address: ServiceAddress, patience: float, late_after: float = _LATE_AFTER):
        address.wait(patience)
        self._address, self._patience, self._late_after = address, patience, late_after
        self._failure: Exception | None = None
        # A thread of TensorFlow, which reads the elements, may tell the user what this one may.
        self._context = contextvars.copy_context()

    def training_epoch(
        self, data: ImageData, split: str, augmentation: Augmentation, *, first_step: int = 0, **arguments: Any
    ) -> tf.data.Dataset:
        """Returns what `input_pipeline.training_epoch` returns, computed by the service; its last element is repeated.

        Args:
            data: the data set; the workers of the service find its files under the same paths.
            split: name of the training split.
            augmentation: function from (example, seed) to what the net is shown of it.
            first_step: number of batches to skip at the beginning of the epoch.
            arguments: further attributes of `TrainingEpoch`.

        Raises:
            UserError: the split is missing or empty.
        """
        epoch = TrainingEpoch(data=data, split=split, augmentation=augmentation, **arguments)
        numbers = epoch.numbers(first_step)
        elements = epoch.elements(numbers, with_positions=True)
        signature = {name: spec for name, spec in elements.element_spec.items() if name != _NUMBER}
        read = functools.partial(self._read, epoch, numbers, elements)
        return untuned(tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(1))

    def telling_failures(self, batches: Iterable[T]) -> Iterator[T]:
        """Yields batches of `training_epoch`; what has gone wrong with the service is raised as it was.

        Raises:
            LostWorkerError: the service delivers nothing.
            UserError: it cannot compute the batches.
        """
        self._failure = None
        try:
            yield from batches
        except tf.errors.OpError:
            if self._failure:  # TensorFlow's own error only quotes it
                raise self._failure from None
            raise

    def _read(self, epoch: TrainingEpoch, numbers: range, elements: tf.data.Dataset) -> Iterator[dict]:
        computed: list[int] = []

        def warn(text: str) -> None:
            self._context.copy().run(console.warn, f"{self._address.url} {text}")

        def compute(number: int) -> dict:
            if not computed:
                warn(f"is late with a part of epoch {epoch.epoch + 1}: what does not come is computed here")
            computed.append(number)
            (element,) = epoch.elements(range(number, number + 1))
            return element

        def numbered() -> Iterator[tuple[int, dict]]:
            # Where a worker was lost, TensorFlow does not tell that no more elements come.
            for element in itertools.islice(self._distributed(epoch.data, elements), len(numbers)):
                position = int(element[_NUMBER][0])
                yield epoch.number_of(position), {key: part for key, part in element.items() if key != _NUMBER}

        most_ahead = max(2, _MOST_IMAGES_AHEAD // epoch.images_per_element)
        arrivals = Arrivals(numbered, self._late_after, self._patience, self._silence, most_lost=most_ahead)
        try:
            element: dict = {}
            for element in in_order(numbers, arrivals.take, compute, most_ahead):
                yield element
            arrivals.close()
            if computed:
                warn(
                    f"left out {len(computed)} of {len(numbers)} parts of epoch {epoch.epoch + 1}, which were computed "
                    "here: a worker of it, or its dispatcher, was slow, or lost"
                )
            # Devices read ahead. Their iterators never end (`input_pipeline.distribute`), and what comes here is not
            # used.
            while True:
                yield element
        except Exception as error:
            self._failure = error
            raise
        finally:
            arrivals.close()

    def _distributed(self, data: ImageData, elements: tf.data.Dataset) -> Iterator[dict]:
        """Yields elements in the order in which the workers of the service deliver them.

        Raises:
            UserError: the service cannot compute the elements.
        """
        policy = tf.data.experimental.service.ShardingPolicy.DYNAMIC  # each number goes to one worker
        try:
            # Photos gain nothing by being compressed a second time.
            yield from untuned(
                elements.apply(tf.data.experimental.service.distribute(policy, self._address.url, compression=None))
            )
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            if self._context.copy().run(shards.first_problem, data):
                raise  # a broken record, such as reading it here would find too
            raise UserError(
                f"--{self._address.flag}={self._address.url} cannot compute the batches: {reason(error)}. Here all "
                "records can be read: see whether the data set is whole on the machines of the service, by "
                "data_prep.verify, and whether they have the same version of TensorFlow"
            ) from error
        except tf.errors.OpError as error:
            if any(sign in str(error) for sign in _FORGOTTEN):
                raise LostWorkerError(
                    f"the dispatcher of --{self._address.flag}={self._address.url} has been started anew, or has given "
                    "this process up, which was suspended; give the command again with --resume"
                ) from error
            raise UserError(
                f"--{self._address.flag}={self._address.url} cannot compute the batches: {reason(error)}. Its workers "
                "need the data set under the same path as this process, and the same version of TensorFlow"
            ) from error

    def _silence(self) -> Exception:
        return LostWorkerError(
            f"--{self._address.flag}={self._address.url} has delivered nothing for {self._patience:.0f} seconds: start "
            "its dispatcher and its workers again, and then this command with --resume; or leave the flag out"
        )


def in_order(
    numbers: Sequence[int],
    take: Callable[[int], tuple[int, T] | None],
    compute: Callable[[int], T],
    most_ahead: int,
) -> Iterator[T]:
    """Yields elements in the order of their numbers, and computes those that do not come.

    Args:
        numbers: the numbers of the elements, increasing.
        take: function from the number of elements that have not come to a number and its element as they come, in any
            order, or None if none comes in time.
        compute: function from a number to its element.
        most_ahead: largest number of elements that are kept for later; if so many have come before the next one, it
            counts as missing. If it comes yet, it is dropped.

    Yields:
        The element of each number.
    """
    kept: dict[int, T] = {}
    for yielded, number in enumerate(numbers):
        while number not in kept and len(kept) < most_ahead:
            arrived = take(len(numbers) - yielded - len(kept))
            if arrived is None:
                break
            if arrived[0] >= number:
                kept[arrived[0]] = arrived[1]
        yield kept.pop(number) if number in kept else compute(number)


class Arrivals(Generic[T]):
    """The items of an iterable that may block for ever, which a thread reads one item ahead.

    Args:
        make: function that returns the iterable; called in the thread.
        late_after: number of seconds to wait for an item.
        patience: number of seconds without an item after which there is an error.
        silence: function that returns that error.
        most_lost: number of items that may never come although the iterable works.
    """

    def __init__(
        self,
        make: Callable[[], Iterable[T]],
        late_after: float,
        patience: float,
        silence: Callable[[], Exception],
        *,
        most_lost: int = 0,
    ):
        self._make, self._late_after, self._patience, self._silence = make, late_after, patience, silence
        self._most_lost = most_lost
        self._read: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._room, self._unwanted = threading.Semaphore(1), threading.Event()
        self._last, self._any, self._late, self._ended = time.monotonic(), False, False, False
        # Where the iterable never returns, the process must be able to end.
        threading.Thread(target=self._work, daemon=True).start()

    def take(self, expected: int = 1) -> T | None:
        """Returns the next item, or None if it does not come in time, or if there is none.

        After one that did not come in time none is waited for, until one is there.

        Args:
            expected: number of items that have not come yet. Once one has come, no more than `most_lost` of them count
                as lost, and not as a silence: the caller may take any time to compute them.

        Raises:
            Exception: what `make` or the iterable raises, or the result of `silence`.
        """
        if self._ended:
            return None
        may_be_lost = self._any and expected <= self._most_lost
        left = math.inf if may_be_lost else self._last + self._patience - time.monotonic()
        try:
            kind, content = self._read.get(timeout=0.0 if self._late else max(0.0, min(self._late_after, left)))
        except queue.Empty:
            if not may_be_lost and time.monotonic() - self._last >= self._patience:
                raise self._silence() from None
            self._late = True
            return None
        self._room.release()
        self._last, self._any, self._late, self._ended = time.monotonic(), True, False, kind == "end"
        if kind == "error":
            raise content
        return content

    def close(self) -> None:
        """Lets the thread end."""
        self._unwanted.set()
        self._room.release()

    def _put(self, kind: str, content: Any = None) -> bool:
        """Puts something into the queue once there is room; returns whether more is wanted."""
        self._room.acquire()
        if not self._unwanted.is_set():
            self._read.put((kind, content))
        return not self._unwanted.is_set()

    def _work(self) -> None:
        try:
            if all(self._put("item", item) for item in self._make()):
                self._put("end")
        except Exception as error:
            self._put("error", error)
