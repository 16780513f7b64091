"""Runs a process of a `tf.data` service until it is stopped."""

import contextlib
import socket
import threading

from vgg_keras.data import service_servers
from vgg_keras.tasks.options import DataServiceOptions
from vgg_keras.utils import console, stopping
from vgg_keras.utils.service_address import ServiceAddress


def serve(options: DataServiceOptions) -> None:
    """Decodes photos until the process is stopped; without --dispatcher it shares the work out too.

    Raises:
        UserError: a flag is malformed, or a port is taken.
        LostWorkerError: --dispatcher does not answer.
    """
    host = options.host.strip("[]") or socket.gethostname()
    with contextlib.ExitStack() as servers, stopping.advising("training computes itself what it misses"):
        dispatcher = options.dispatcher_address()
        if dispatcher:
            dispatcher.wait(options.timeout)
            asked = dispatcher.host_and_port
        else:
            port = servers.enter_context(service_servers.dispatching(options.port))
            dispatcher = ServiceAddress("dispatcher", host, port)
            console.say(f"the dispatcher is ready; train with --data_service={dispatcher.url}")
            asked = f"localhost:{port}"  # a machine may not reach itself under the name by which others do
            console.say(f"more workers: python -m vgg_keras.data_service --dispatcher={dispatcher.url}")
        servers.enter_context(service_servers.working(asked, host, options.worker_port))
        console.say(f"working for {dispatcher.url} until it is stopped")
        threading.Event().wait()
