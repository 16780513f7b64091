"""Tests what SIGTERM, SIGINT and SIGHUP do to a process."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.helpers.paths import ROOT
from vgg_keras.utils import console, stopping

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_signal_raises_inside_the_context_alone(number):
    before = signal.getsignal(number)
    with pytest.raises(stopping.Stopped, match=f"^stopped by {number.name}$"), stopping.raising():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert not issubclass(stopping.Stopped, Exception)


def test_the_message_may_advise():
    expected = pytest.raises(stopping.Stopped, match=r"^stopped by SIGTERM; begin again$")
    with expected, stopping.raising(), stopping.advising("begin again"):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_signal_that_is_held_back_is_delivered_at_the_end(number):
    reached = []

    def work():
        with stopping.raising():
            with stopping.held_back("") as request:
                assert not request.made
                signal.raise_signal(number)
                assert (request.made, request.signal_name) == (True, number.name)
                reached.append("end of the block")
            reached.append("after the block")

    with pytest.raises(stopping.Stopped):
        work()
    assert reached == ["end of the block"]


def test_a_second_signal_is_delivered_at_once():
    def work():
        with stopping.raising(), stopping.held_back(""):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("this is not reached")

    with pytest.raises(stopping.Stopped, match="SIGINT"):
        work()


def test_an_error_is_not_hidden_by_the_request():
    def work():
        with stopping.raising(), stopping.held_back(""):
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        work()


def test_without_a_request_nothing_happens():
    with stopping.raising(), stopping.held_back("") as request:
        pass
    assert (request.made, request.signal_name) == (False, "")


def test_python_interrupts_a_library_user_as_usual():
    def work():
        with stopping.held_back("") as request:
            signal.raise_signal(signal.SIGINT)
            assert request.made

    with pytest.raises(KeyboardInterrupt):
        work()


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stopping.raising(), stopping.held_back("") as request:
            signal.raise_signal(signal.SIGHUP)
        assert not request.made
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_handle_no_signals():
    failures = []

    def work():
        try:
            with stopping.raising(), stopping.held_back(""):
                pass
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []


_VERB = """
import dataclasses, sys, time
from vgg_keras.utils import cli
from vgg_keras.utils.options import Options

def main(options):
    try:
        print("working", flush=True)
        time.sleep(60)
    finally:
        print("tidied up", flush=True)

cli.run(main, Options)
"""


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_verb_tidies_up_and_ends_with_a_status_of_its_own(number):
    process = subprocess.Popen(
        [sys.executable, "-c", _VERB],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (75, "tidied up\n", f"stopped by {number.name}\n")


def test_a_terminal_that_is_gone_does_not_keep_a_run_from_saving(monkeypatch):
    def gone(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "write", gone)
    monkeypatch.setattr(console.tqdm.tqdm, "write", gone)
    saved = []

    def work():
        with console.speaking(True), stopping.raising(), stopping.held_back("a checkpoint is saved") as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.made
            console.say("a message")
            console.warn("a warning")
            saved.append(True)

    with pytest.raises(stopping.Stopped, match="SIGHUP"):
        work()
    assert saved == [True]
