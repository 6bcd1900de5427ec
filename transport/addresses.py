"""Where the server may dial an agent's SSH (SAFETY, C1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, TypeAlias

from boruta.domain.errors import BadAddress

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_ANY: Final = frozenset({"", "*", "0.0.0.0", "::"})


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The `board_networks` of a config.

    Raises:
        BadAddress: one is no network.
    """
    found = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise BadAddress(
                f"board_networks: {text!r} is no network (want e.g. 10.1.0.0/16)"
            ) from None
    return tuple(found)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or `:port`.

    Raises:
        BadAddress: no port, or none from 1 to 65535.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadAddress(f"address {text!r:.100}: want [host]:port for IPv6", address=text[:100])
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise BadAddress(
            f"address {text!r:.100}: want host:port with a port from 1 to 65535",
            address=text[:100],
        )
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The text of host and port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def dialled(ssh_address: str, peer: str, networks: Sequence[Network]) -> str:
    """The address by which an agent is reached: its own word, within bounds.

    Args:
        ssh_address: what the agent says; an empty host is filled with `peer`.
        peer: the far address of its connection.
        networks: where else boards may be.

    Raises:
        BadAddress: no port, no address, or one that this agent may not send the server to.
    """
    host, port = split_address(ssh_address)
    if host in _ANY:
        return join_address(peer, port)
    if host == "localhost":
        host = "127.0.0.1"
    there, wanted = _plain(peer), _plain(host)
    if wanted is None:
        raise BadAddress(
            f"ssh_address {ssh_address!r:.100}: want an IP address, not a name; an empty host "
            "means the address that the agent comes from",
            address=ssh_address[:100],
        )
    same_machine = there is not None and there.is_loopback and wanted.is_loopback
    if wanted == there or same_machine:
        return join_address(str(wanted), port)
    barred = (
        wanted.is_loopback or wanted.is_link_local or wanted.is_multicast or wanted.is_unspecified
    )
    listed = any(wanted.version == net.version and wanted in net for net in networks)
    if barred or not listed:
        raise BadAddress(
            f"ssh_address {ssh_address!r:.100}: the agent comes from {peer}; its SSH must be "
            "there, or in [server] board_networks",
            address=ssh_address[:100],
        )
    return join_address(str(wanted), port)


def _plain(host: str) -> Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
