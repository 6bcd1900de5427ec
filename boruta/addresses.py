"""Addresses of the server's own socket: what may be written, what is bound, what is dialled."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from boruta.domain import defaults

DEFAULT_BIND: Final = f"tcp://127.0.0.1:{defaults.ZMQ_PORT}"
_ALLOWED: Final = "want tcp://HOST:PORT, as tcp://127.0.0.1:7175 or tcp://0.0.0.0:7175"
_BIND: Final = re.compile(r"(?:tcp://)?(\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]+):(\d{1,5})", re.ASCII)


def read_bind(text: str) -> str:
    """A ZeroMQ address to bind to, in full.

    Args:
        text: ``tcp://HOST:PORT`` or ``HOST:PORT``; HOST is an address, ``*`` (every interface),
            ``localhost`` or the name of an interface; port 0 takes a free one.

    Raises:
        ValueError: it is none; the text says what is allowed.
    """
    found = _BIND.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r}: {_ALLOWED}")
    host, port = found.groups()
    if int(port) > 65535:
        raise ValueError(f"{text!r}: port {port} is above 65535")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f"{text!r}: {host} is no IPv6 address; {_ALLOWED}") from None
    host = {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)
    return f"tcp://{host}:{int(port)}"


def host_of(url: str) -> str:
    """The host of an address, without brackets."""
    return url.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def is_loopback(url: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host_of(url)).is_loopback
    except ValueError:
        return False  # an interface: whatever it is, it is not surely loopback


def dialled(url: str) -> str:
    """The address under which this machine reaches what is bound to `url`."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host_of(url))
    return url if loopback is None else f"tcp://{loopback}:{url.rpartition(':')[2]}"
