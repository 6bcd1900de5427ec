"""Addresses of the server's own socket: what may be written, what is bound, what is dialled."""

from __future__ import annotations

import ipaddress
import platform
import re
from typing import Final

from boruta.domain import defaults

DEFAULT_BIND: Final = f"tcp://127.0.0.1:{defaults.ZMQ_PORT}"
_ALLOWED: Final = "want tcp://HOST:PORT, as tcp://127.0.0.1:7175 or tcp://0.0.0.0:7175"
_BIND: Final = re.compile(r"(?:tcp://)?(\[[0-9A-Fa-f:.]+\]|[^:/\[\]\s]+):(\d{1,5})", re.ASCII)


def read_bind(text: str) -> str:
    """A ZeroMQ address to bind to, in full.

    Args:
        text: ``tcp://HOST:PORT`` or ``HOST:PORT``; HOST is an address (IPv6 in brackets), ``*``
            (every interface) or ``localhost``; port 0 takes a free one.

    Raises:
        ValueError: it is none; the text says what is allowed.
    """
    found = _BIND.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r}: {_ALLOWED}")
    host, port = found.groups()
    if int(port) > 65535:
        raise ValueError(f"{text!r}: port {port} is above 65535")
    host = {"*": "0.0.0.0", "localhost": "127.0.0.1"}.get(host, host)
    try:
        bare = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError(f"{text!r}: {host!r} is no address of a machine; {_ALLOWED}") from None
    host = f"[{bare}]" if bare.version == 6 else str(bare)
    return f"tcp://{host}:{int(port)}"


def host_of(url: str) -> str:
    """The host of an address, without brackets."""
    return url.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def plain(url: str) -> str:
    """The address with an IPv4 one as itself, not as IPv6 writes it (`::ffff:127.0.0.1`)."""
    try:
        mapped = ipaddress.IPv6Address(host_of(url)).ipv4_mapped
    except ValueError:
        return url
    return url if mapped is None else f"tcp://{mapped}:{url.rpartition(':')[2]}"


def is_loopback(url: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host_of(plain(url))).is_loopback
    except ValueError:
        return False  # a name: whatever it is, it is not surely loopback


def dialled(url: str) -> str:
    """The address under which this machine reaches what is bound to `url`."""
    url = plain(url)
    loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host_of(url))
    return url if loopback is None else f"tcp://{loopback}:{url.rpartition(':')[2]}"


def announced(url: str, access_host: str) -> str:
    """The address under which other machines reach what is bound to `url`.

    Args:
        url: as it is bound.
        access_host: the name that the lab gives out for this machine, if it has one.
    """
    url = plain(url)
    host = access_host or platform.node()
    everywhere = host_of(url) in ("0.0.0.0", "::") and host
    return f"tcp://{host}:{url.rpartition(':')[2]}" if everywhere else url
