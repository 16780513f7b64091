"""Tests what SIGTERM, SIGINT and SIGHUP do to a process."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.processes import start_verb
from vgg_keras.utils import console, stopping

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_signal_raises_inside_the_context_alone(number):
    before = signal.getsignal(number)
    with (
        pytest.raises(stopping.Stopped, match=f"^stopped by {number.name}; start the same command again$"),
        stopping.raising(),
    ):
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert not issubclass(stopping.Stopped, Exception)


def test_the_message_may_advise():
    expected = pytest.raises(stopping.Stopped, match=r"^stopped by SIGTERM; begin again$")
    with expected, stopping.raising(), stopping.advising("begin again"):
        signal.raise_signal(signal.SIGTERM)


def test_the_advice_of_the_inner_context_goes_first():
    saved = []
    expected = pytest.raises(stopping.Stopped, match=r"^stopped by SIGTERM; 2 steps are saved$")
    inner = stopping.advising(lambda: f"{len(saved)} steps are saved")
    with expected, stopping.raising(), stopping.advising("begin again"), inner:
        saved += ["one", "two"]
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
import atexit, dataclasses, sys, time
from vgg_keras.utils import cli, errors
from vgg_keras.utils.options import Options

def sleep(what):
    print(what, flush=True)
    time.sleep(60)

def main(options):
    try:
        {work}
    finally:
        print("tidied up", flush=True)

cli.run(main, Options)
"""


def _start(work, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", _VERB.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.mark.parametrize("number", _SIGNALS)
def test_a_verb_tidies_up_and_ends_with_a_status_of_its_own(number):
    process = _start("sleep('working')")
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    line = f"stopped by {number.name}; start the same command again\n"
    assert (process.returncode, stdout, stderr) == (75, "tidied up\n", line)


@pytest.mark.parametrize("number", _SIGNALS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_while_python_unloads_changes_nothing(number, fails):
    process = _start("atexit.register(lambda: (print('unloading', flush=True), time.sleep(1)))" + "; 1 / 0" * fails)
    assert [process.stdout.readline() for _ in range(2)] == ["tidied up\n", "unloading\n"]
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, "ZeroDivisionError" in stderr) == (int(fails), fails)
    assert not {"KeyboardInterrupt", number.name} & set(stderr.split())


@pytest.mark.parametrize(("error", "status"), [("LostWorkerError", 75), ("BrokenClusterError", 1), ("UserError", 1)])
def test_the_status_tells_whether_the_same_command_may_succeed(error, status):
    # A library that waits for another worker as it is unloaded does not keep the process.
    waits = "atexit.register(time.sleep, 600); " if error != "UserError" else ""
    process = _start(f"{waits}raise errors.{error}('worker 1 is so')")
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (status, "tidied up\n", "error: worker 1 is so\n")


@pytest.mark.parametrize("number", _SIGNALS)
@pytest.mark.parametrize(
    ("library", "verb"),
    [("tqdm", "vgg_keras.train"), ("absl", "data_prep.verify"), ("tensorflow", "vgg_keras.predict")],
)
def test_a_signal_while_a_library_is_loaded_is_one_line(library, verb, number, tmp_path):
    # Such as a library that tries an import, and takes every error for a missing one.
    slow = "try:\n    print('loading', flush=True)\n    time.sleep(60)\nexcept BaseException:\n    pass\n"
    (tmp_path / f"{library}.py").write_text(f"import time\n{slow}")
    arguments = ["--model=absent", "absent.jpg"] if verb == "vgg_keras.predict" else ["--data_dir=absent"]
    process = start_verb(verb, *arguments, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert process.stdout.readline() == "loading\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    line = f"stopped by {number.name} before the work began; start the same command again\n"
    assert (process.returncode, stderr) == (75, line)


@pytest.mark.parametrize("command", [["-c", ""], ["-m", "other"]])
def test_a_program_that_imports_the_package_keeps_its_signals(command, tmp_path):
    code = "import signal, vgg_keras; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").write_text(code)
    (tmp_path / "other" / "__main__.py").touch()
    command = [command[0], command[1] or code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert output.stdout == "True\n", output.stderr


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


def test_a_request_that_is_raised_in_a_destructor_is_made_again(capsys):
    class Destroyed:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def wait():
        Destroyed()
        time.sleep(5)

    with stopping.raising(), pytest.raises(stopping.Stopped, match="stopped by SIGTERM"):
        wait()
    assert capsys.readouterr().err == ""
