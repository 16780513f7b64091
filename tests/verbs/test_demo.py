"""Tests the verb `demo`: its address, its end, and what it says where it cannot start."""

import contextlib
import signal
import socket
import sys
import urllib.request

import pytest

from tests.helpers.evaluation_data import save_net
from tests.helpers.processes import start_verb
from vgg_keras.demo_page import offline_gradio, serving
from vgg_keras.tasks.demo_options import DemoOptions
from vgg_keras.utils.errors import UserError


@pytest.mark.slow
@pytest.mark.multiprocess
def test_it_serves_until_it_is_stopped(tmp_path):
    pytest.importorskip("gradio", reason="Gradio, which the extra demo installs, is not here")
    save_net("A", tmp_path / "run")
    (tmp_path / "temporary").mkdir()
    environment = {"TMPDIR": str(tmp_path / "temporary")}
    process = start_verb("vgg_keras.demo", "--model=run", "--port=0", cwd=tmp_path, env=environment)
    try:
        assert (
            process.stdout.readline() == "run/best.keras: 6 classes: class 0, class 1, class 2, class 3, class 4, ...\n"
        )
        line = process.stdout.readline()
        assert line.startswith("the demo is at http://127.0.0.1:"), process.stderr.read()
        with urllib.request.urlopen(line.split()[4]) as answer:
            assert "connect-src 'self'" in answer.headers["content-security-policy"]
            assert b"gradio" in answer.read()
        assert len(list((tmp_path / "temporary").glob("vgg_keras-demo-*"))) == 1
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 75
    assert (stdout, stderr) == ("", "stopped by SIGTERM; the photos that it was shown are deleted\n")
    assert list((tmp_path / "temporary").glob("vgg_keras-demo-*")) == []


def test_an_address_that_cannot_be_had():
    with socket.create_server(("127.0.0.1", 0)) as taken, contextlib.ExitStack() as listening:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port={port}: no server can be started there on 127.0.0.1 .*, or 0 for"):
            listening.enter_context(serving.listening("127.0.0.1", port))
        with pytest.raises(UserError, match=r"--host=nowhere\.invalid: there is no such host"):
            listening.enter_context(serving.listening("nowhere.invalid", 0))
        # An address for examples, which no machine has (RFC 5737).
        with pytest.raises(UserError, match=r"--host=192\.0\.2\.1 is no address of this machine; 127"):
            listening.enter_context(serving.listening("192.0.2.1", 0))
    with pytest.raises(UserError, match="--host=a b is neither the name of a machine nor an IP address"):
        DemoOptions(model="run", host="a b")


def test_addresses_are_written_as_browsers_take_them():
    with serving.listening("127.0.0.1", 0) as listener:
        assert serving._url("localhost", listener) == f"http://localhost:{listener.getsockname()[1]}"
    with serving.listening("0.0.0.0", 0) as listener:
        assert serving._url("0.0.0.0", listener) == f"http://{socket.gethostname()}:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with serving.listening("[::1]", 0) as listener:
            assert serving._url("[::1]", listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"the demo needs more packages .*: pip install 'vgg_keras\[demo\]'"):
        offline_gradio.load()
