"""Who is connected: a routing id stands for a connection, a connection for a key.

A routing id that a peer claims for itself means nothing here; who it is comes from ZAP alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from boruta.domain.types import Caller
from transport.session import Conversation

OUTBOX_FRAMES: Final = 1000  # that ZeroMQ would not take; over either, the peer is cut
OUTBOX_BYTES: Final = 4 << 20


def _nothing() -> None:
    pass


@dataclass(eq=False, slots=True)
class Peer:
    """One connection.

    `public_key` is Z85 text, empty without CURVE. `fd` is ZeroMQ's and may be used again after
    the connection's end: `remote` tells whether it still is this one's.
    """

    serial: int
    routing_id: bytes
    public_key: str
    caller: Caller
    fd: int
    remote: tuple[str, int]
    conversation: Conversation
    met_at: float
    role: str = ""  # what `hello` said; empty before
    gone: bool = False
    cut_at: float = 0.0
    in_flight: int = 0
    outbox: deque[bytes] = field(default_factory=deque)
    outbox_bytes: int = 0
    moved_at: float = 0.0  # when the outbox last got shorter
    on_room: Callable[[], None] = _nothing  # the outbox is empty again

    @property
    def session(self) -> tuple[str, bytes]:
        """By what a client's session is found."""
        return self.caller.name, self.caller.session

    def __str__(self) -> str:
        return f"{self.caller.name}@{self.remote[0]}"


class PeerTable:
    """Every connection, by routing id and by file descriptor."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, Peer] = {}
        self._by_fd: dict[int, Peer] = {}
        self.get = self._by_id.get  # the one look-up of every frame

    def __len__(self) -> int:
        return len(self._by_fd)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._by_fd.values()))

    def add(self, peer: Peer) -> Peer | None:
        """Adds a connection; the dead one whose fd it has, if that was not noticed yet."""
        old = self._by_fd.get(peer.fd)
        self._by_id[peer.routing_id] = peer
        self._by_fd[peer.fd] = peer
        return None if old is None or old.gone else old

    def by_fd(self, fd: int) -> Peer | None:
        """The connection that has this fd, or had it last."""
        return self._by_fd.get(fd)

    def of_key(self, public_key: str) -> list[Peer]:
        """The live connections of a key."""
        return [peer for peer in self if peer.public_key == public_key]

    def retire(self, peer: Peer) -> None:
        """It counts no more, but what still comes from it is known to be its own."""
        if self._by_fd.get(peer.fd) is peer:
            del self._by_fd[peer.fd]

    def remove(self, peer: Peer) -> None:
        """Forgets it."""
        self.retire(peer)
        if self._by_id.get(peer.routing_id) is peer:
            del self._by_id[peer.routing_id]

    def forget_cut(self, before: float) -> None:
        """Forgets those that were cut before this time."""
        for peer in [p for p in self._by_id.values() if p.gone and p.cut_at < before]:
            self.remove(peer)
