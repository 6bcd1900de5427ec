"""The socket on which sessions come in, and how many may come."""

from __future__ import annotations

import socket
from typing import Final

from boruta.domain.errors import BadAddress

BACKLOG: Final = 128
KNOCKING: Final = 64  # connections that have not shown the key; one more and the oldest is cut
CONNECTIONS: Final = 128  # of one holder
LOGIN_WITHIN_S: Final = 10.0  # then a connection that has not shown the key is cut
KEEPALIVE_S: Final = 15.0  # a client that does not answer three of them is gone


def listen(address: str) -> socket.socket:
    """A listening socket that does not block.

    Args:
        address: ``host:port``; an empty host is all of them, port 0 a free one.

    Raises:
        BadAddress: it is no address, or it cannot be bound.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise BadAddress(f"ssh_address {address!r}: want host:port")
    host = host.removeprefix("[").removesuffix("]")
    try:
        if not host and socket.has_dualstack_ipv6():
            sock = socket.create_server(
                ("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise BadAddress(f"ssh_address {address!r}: cannot listen: {error}") from error
    sock.setblocking(False)
    return sock


def name_of(sock: socket.socket, address: str) -> str:
    """Where it listens, as ``host:port``; an empty host stays as it was asked for."""
    host, port = sock.getsockname()[:2]
    named = address.rpartition(":")[0]
    return f"{named and (f'[{host}]' if ':' in host else host)}:{port}"
