"""Finds who sends a message that never ends.

ZeroMQ gathers the parts of a message before it shows the first one, and nothing of it bounds
their number: 200 MB of empty parts take 6 GB. What can be seen from outside is a connection that
takes in bytes and never gives a whole message. Each limit here is far above what an honest peer
does: a message is at most 1 MiB, and the kernel holds a few MiB that ZeroMQ has not read yet.
"""

from __future__ import annotations

import os
import socket as net
import sys
from collections.abc import Iterable
from typing import Final

from transport.peers import Peer

# Until so much memory was taken since the last look, nobody is looked at.
_GROWN_BYTES: Final = 32 << 20
_ENDLESS_BYTES: Final = 8 << 20  # taken in without one whole message
_RECEIVED_AT: Final = 128  # tcpi_bytes_received in Linux's struct tcp_info
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def received(fd: int) -> int | None:
    """Bytes that a TCP connection has taken in; None if it cannot be told."""
    try:
        with net.socket(fileno=os.dup(fd)) as twin:
            info = twin.getsockopt(net.IPPROTO_TCP, net.TCP_INFO, _RECEIVED_AT + 8)
    except OSError:
        return None
    if len(info) < _RECEIVED_AT + 8:
        return None
    return int.from_bytes(info[_RECEIVED_AT:], sys.byteorder)


def memory() -> int:
    """Bytes of this process in memory; 0 if it cannot be told."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


class FloodWatch:
    """Looks at the connections while memory grows."""

    def __init__(self) -> None:
        self._memory = memory()
        self._before: dict[Peer, tuple[int, float]] = {}

    def endless(self, peers: Iterable[Peer]) -> list[Peer]:
        """Whoever has sent much, and nothing whole, since the last look."""
        now = memory()
        grown, self._memory = now - self._memory, now
        if grown < _GROWN_BYTES and not self._before:
            return []
        before, self._before = self._before, {}
        found = []
        for peer in peers:
            taken = received(peer.fd)
            if taken is None:
                continue
            then, heard_at = before.get(peer, (taken, -1.0))
            if heard_at == peer.conversation.heard_at:
                if taken - then >= _ENDLESS_BYTES:
                    found.append(peer)
                    continue
            else:
                then = taken
            if grown >= _GROWN_BYTES or taken > then:
                self._before[peer] = then, peer.conversation.heard_at
        return found

    def is_endless(self, fd: int) -> bool:
        """Whether a connection that never said anything has sent that much."""
        return (received(fd) or 0) >= _ENDLESS_BYTES
