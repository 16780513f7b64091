"""Puts a link of a known rate between two processes on this machine: a pair of network interfaces of their own."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator

from vgg_keras.utils.errors import UserError

ADDRESSES = ("10.77.0.1", "10.77.0.2")


class Link:
    """A link between two network namespaces of Linux.

    Args:
        namespaces: names of the namespaces.
        interfaces: names of the ends of the link in them.
    """

    def __init__(self, namespaces: tuple[str, str], interfaces: tuple[str, str]):
        self._namespaces, self._interfaces = namespaces, interfaces

    def inside(self, end: int) -> list[str]:
        """Returns the words that a command begins with to run at an end, 0 or 1."""
        return ["ip", "netns", "exec", self._namespaces[end]]

    def limit(self, gigabits: float) -> None:
        """Sets the rate in each direction, in Gbit/s."""
        burst = int(1e9 * gigabits / 8 * 0.004)  # bytes of 4 ms, one tick of the kernel's slowest clock
        for end, interface in enumerate(self._interfaces):
            limit = ("rate", f"{gigabits:g}gbit", "burst", str(burst), "latency", "50ms")
            _run(*self.inside(end), "tc", "qdisc", "replace", "dev", interface, "root", "tbf", *limit)

    def bytes_sent(self) -> int:
        """Returns the number of bytes that the first end has sent so far."""
        shown = _run(*self.inside(0), "ip", "-s", "-j", "link", "show", "dev", self._interfaces[0])
        return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])


@contextlib.contextmanager
def link() -> Iterator[Link]:
    """Makes a link, without a limit as yet, and removes it at the end.

    Raises:
        UserError: this is not Linux with `ip` and `tc`, or the user may not make network interfaces.
    """
    if not (shutil.which("ip") and shutil.which("tc")) or os.geteuid():
        raise UserError("a link of a known rate needs Linux's ip and tc (the package iproute2), and root's rights")
    namespaces = (f"vgg{os.getpid()}a", f"vgg{os.getpid()}b")
    interfaces = (f"v{os.getpid()}a", f"v{os.getpid()}b")
    with contextlib.ExitStack() as stack:
        for name in namespaces:
            _run("ip", "netns", "add", name)
            stack.callback(_run, "ip", "netns", "del", name)  # with the interface inside
        first, second = zip(namespaces, interfaces, strict=True)
        _run(
            *("ip", "link", "add", first[1], "netns", first[0], "type", "veth"),
            *("peer", "name", second[1], "netns", second[0]),
        )
        for (namespace, interface), address in zip((first, second), ADDRESSES, strict=True):
            _run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", interface)
            _run("ip", "-n", namespace, "link", "set", interface, "up")
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
        yield Link(namespaces, interfaces)


def _run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise UserError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended.stdout
