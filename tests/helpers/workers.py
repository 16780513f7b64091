"""Runs the workers of a cluster as threads of the test's process, without TensorFlow."""

import random
import socket
import threading
from collections.abc import Callable, Sequence

from vgg_keras.utils.channel import Channel, joined
from vgg_keras.utils.cluster import Cluster, Task


def free_ports(count: int) -> list[int]:
    """Returns ports of this machine at which nobody listens.

    They are below those that the system gives to outgoing connections, one of which could take a port meanwhile.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports += [port] * (port not in ports)
    return ports


def make_clusters(count: int) -> list[Cluster]:
    """Returns a cluster of workers on this machine, as each of them sees it."""
    tasks = tuple(Task("worker", index, f"127.0.0.1:{port}") for index, port in enumerate(free_ports(count)))
    return [Cluster("TF_CONFIG", tasks, index) for index in range(count)]


def run_workers(
    clusters: Sequence[Cluster], bodies: Sequence[Callable[[Channel], object]], timeout: float = 60
) -> list:
    """Runs a function on each worker; returns their results, or the errors that they raised."""
    results: list = [None] * len(bodies)

    def run(place: int) -> None:
        try:
            with joined(clusters[place], timeout) as channel:
                results[place] = bodies[place](channel)
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
