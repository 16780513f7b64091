"""Tells the names and addresses of machines from texts that can be neither, and puts a port behind them.

For some of those, Python's sockets raise other errors than for a machine that is not there; for others the same.
"""

import ipaddress
import re

# A label of a host name (RFC 1123), with underscores, which names of containers have.
_LABEL = "[A-Za-z0-9_-]{1,63}"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_MOST_CHARACTERS = 253  # of a name in the domain name system (RFC 1035)


def is_host(text: str) -> bool:
    """Returns whether a text can be the name or the IP address of a machine; whether there is one is not asked.

    Names may hold letters of all languages; IPv6 addresses may stand in brackets.

    >>> [is_host(text) for text in ("node-1.cluster", "10.0.0.1", "[::1]", "büro")]
    [True, True, True, True]
    >>> [is_host(text) for text in (".a", "a..b", "a b", "[a]", "")]
    [False, False, False, False, False]
    """
    return len(text) <= _MOST_CHARACTERS and (_is_ip_address(text) or _is_name(text))


def host_and_port(host: str, port: int | str) -> str:
    """Returns a host, without brackets, and a port as one text.

    >>> host_and_port("first", 5050), host_and_port("::1", 5050)
    ('first:5050', '[::1]:5050')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_ip_address(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _is_name(text: str) -> bool:
    try:
        encoded = text.encode("idna").decode("ascii")  # as Python's sockets do
    except UnicodeError:  # an empty or overlong label, or a character that no name may hold
        return False
    return bool(_NAME.fullmatch(encoded))
