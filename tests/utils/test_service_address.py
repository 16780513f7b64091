"""Tests which addresses of servers are taken, and how long one is waited for."""

import socket
import threading
import time

import pytest

from vgg_keras.utils import console
from vgg_keras.utils.errors import LostWorkerError, UserError
from vgg_keras.utils.service_address import ServiceAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("grpc://first:5050", "first", 5050), ("grpc://10.0.0.1:1", "10.0.0.1", 1), ("grpc://[::1]:65535", "::1", 65535)],
)
def test_an_address(text, host, port):
    address = ServiceAddress.parse("data_service", text)
    assert (address.host, address.port, address.url) == (host, port, text)


@pytest.mark.parametrize(
    "text",
    ["first:5050", "http://first:5050", "grpc://first", "grpc://:5050", "grpc://first:0", "grpc://first:65536",
     "grpc://first:five", "grpc://a b:5050", "grpc://first:5050/path", "grpc://user@first:5050", "grpc://[::1:5050"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UserError) as told:
        ServiceAddress.parse("data_service", text)
    assert str(told.value) == f"--data_service={text} must be grpc://HOST:PORT, such as grpc://first:5050"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_nobody_answers():
    port = free_port()
    with pytest.raises(LostWorkerError) as told:
        ServiceAddress("data_service", "127.0.0.1", port).wait(0.1)
    assert str(told.value) == (
        f"--data_service=grpc://127.0.0.1:{port} does not answer (Connection refused): start it there with "
        f"python -m vgg_keras.data_service --port={port}"
    )


def test_a_server_that_comes_late_is_waited_for(capsys):
    port = free_port()
    servers = []

    def start() -> None:
        time.sleep(0.2)
        servers.append(socket.create_server(("127.0.0.1", port)))

    thread = threading.Thread(target=start)
    thread.start()
    with console.speaking(True):
        ServiceAddress("data_service", "127.0.0.1", port).wait(60)
    thread.join()
    servers[0].close()
    assert capsys.readouterr().out == f"waiting for grpc://127.0.0.1:{port} (--data_service)\n"
