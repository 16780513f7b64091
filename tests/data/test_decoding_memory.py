"""Tests that photos are decoded in no more memory at a time than there is, in threads and in processes."""

import concurrent.futures
import multiprocessing
import threading

import pytest

from vgg_keras.data import decoding_memory
from vgg_keras.data.decoding_memory import BYTES_PER_PIXEL, DecodingMemory
from vgg_keras.utils import hardware

SPAWN = multiprocessing.get_context("spawn")


class Waiting(threading.Thread):
    """A thread that reserves memory, tells so, and keeps it until it is told to give it back."""

    def __init__(self, memory, pixels):
        super().__init__(daemon=True)
        self.memory, self.pixels = memory, pixels
        self.entered, self.leave = threading.Event(), threading.Event()
        self.start()

    def run(self):
        with self.memory.reserved(self.pixels):
            self.entered.set()
            self.leave.wait(60)

    def done(self):
        self.leave.set()
        self.join(60)


def test_a_photo_waits_until_there_is_memory():
    memory = DecodingMemory(100 * BYTES_PER_PIXEL, SPAWN)
    first, second = Waiting(memory, 60), Waiting(memory, 40)
    assert first.entered.wait(60)
    assert second.entered.wait(60)
    third = Waiting(memory, 50)
    assert not third.entered.wait(0.2)
    second.done()
    assert not third.entered.wait(0.2)  # 60 and 50 are more than 100
    first.done()
    assert third.entered.wait(60)
    third.done()


def test_a_photo_of_more_than_the_limit_is_decoded_alone():
    memory = DecodingMemory(100 * BYTES_PER_PIXEL, SPAWN)
    small = Waiting(memory, 1)
    assert small.entered.wait(60)
    large = Waiting(memory, 500)
    assert not large.entered.wait(0.2)
    small.done()
    assert large.entered.wait(60)
    another = Waiting(memory, 1)
    assert not another.entered.wait(0.2)
    large.done()
    assert another.entered.wait(60)
    another.done()


def test_memory_is_given_back_after_an_error():
    memory = DecodingMemory(10 * BYTES_PER_PIXEL, SPAWN)
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"), memory.reserved(10):
            raise ValueError("damaged")


def test_without_shared_memory_nothing_waits():
    with decoding_memory.reserved(10**12), decoding_memory.reserved(10**12):
        pass


def nested(pixels):
    """Returns whether this process can reserve memory for two photos at a time."""
    with decoding_memory.reserved(pixels):
        return decoding_memory._shared._reserved.value // BYTES_PER_PIXEL


@pytest.mark.multiprocess
def test_the_processes_of_a_pool_share_it():
    memory = DecodingMemory(100 * BYTES_PER_PIXEL, SPAWN)
    with concurrent.futures.ProcessPoolExecutor(2, SPAWN, decoding_memory.share, (memory,)) as pool:
        with memory.reserved(70):
            assert pool.submit(nested, 30).result() == 100
            waiting = pool.submit(nested, 31)
            with pytest.raises(concurrent.futures.TimeoutError):
                waiting.result(timeout=0.5)
        assert waiting.result(60) == 31


def test_the_memory_of_a_machine_and_of_a_container(tmp_path, monkeypatch):
    whole = hardware.memory_bytes()
    assert whole > 2**20
    for text, expected in (("max\n", whole), ("1048576\n", 2**20)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(hardware, "_MEMORY_LIMITS", (str(tmp_path / "memory.max"), str(tmp_path / "absent")))
        assert hardware.memory_bytes() <= expected
    assert DecodingMemory.of_machine(SPAWN)._limit == 2**19
