"""Tests that work in the background is done one at a time, that its errors are raised, and that it can be abandoned."""

import threading

import pytest

from vgg_keras.utils import console
from vgg_keras.utils.background import Background
from vgg_keras.utils.stopping import Stopped


def test_the_next_work_waits_for_the_one_before():
    first_may_end, seen = threading.Event(), []

    def first():
        first_may_end.wait()
        seen.append("first")

    with Background() as background:
        background.start(first)
        background.check()  # which does not wait
        assert seen == []
        threading.Timer(0.1, first_may_end.set).start()
        background.start(lambda: seen.append("second"))
    assert seen == ["first", "second"]


def fail():
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("ask", ["wait", "start", "end"])
def test_an_error_is_raised_once_by_whoever_waits(ask):
    background = Background()
    asking = {"wait": background.wait, "start": lambda: background.start(lambda: None), "end": lambda: None}[ask]

    def fail_and_ask():
        with background:
            background.start(fail)
            asking()

    with pytest.raises(OSError, match="No space left"):
        fail_and_ask()
    background.check()


def test_an_error_is_raised_by_whoever_looks_for_it():
    with Background() as background:
        background.start(fail)
        background._thread.join()
        with pytest.raises(OSError, match="No space left"):
            background.check()


def test_another_error_counts_more_and_that_of_the_work_is_a_warning(capfd):
    def fail_otherwise():
        with console.speaking(True), Background() as background:
            background.start(fail)
            raise ValueError("the loss")

    with pytest.raises(ValueError, match="the loss"):
        fail_otherwise()
    assert "the disk is full" in capfd.readouterr().err


@pytest.mark.parametrize(("error", "finished"), [(Stopped(15), False), (ValueError("the loss"), True)])
def test_a_request_to_stop_has_the_work_abandoned_and_an_error_does_not(error, finished):
    begun, ended, seen = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        ended.wait()
        background.require_wanted()
        seen.append("finished")

    background = Background()

    def fail_meanwhile():
        with background:
            background.start(work)
            begun.wait()
            threading.Timer(0.1, ended.set).start()
            raise error

    with pytest.raises(type(error)):
        fail_meanwhile()
    assert seen == ["finished"] * finished
