"""A server that waits to lead listens all the same, and tells whoever calls where the leader is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from boruta.domain.errors import BorutaError, NotLeader
from boruta.domain.types import Caller
from boruta.peers import Peer

if TYPE_CHECKING:
    from boruta.config import ServerConfig
    from boruta.keys import KeyRing
    from transport.refusing import Refuser

log = logging.getLogger("boruta.server")
_RETRY_AFTER_S: Final = 1.0


class Standby:
    """What is on the server's address before it leads. For the loop's thread.

    Args:
        config: where it listens.
        keys: of the data directory.
    """

    def __init__(self, config: ServerConfig, keys: KeyRing) -> None:
        self._config, self._keys = config, keys
        self._loop = asyncio.get_running_loop()
        self._leader = ""
        self._peers: dict[str, Caller] = {}
        self._refuser: Refuser | None = None
        self._closed = False

    def seen(self, leader: str, peers: Sequence[Peer]) -> None:
        """Another server leads, at this address, and admits these peers."""
        if self._closed:
            return
        self._leader = leader
        self._peers = {one.public: Caller(one.name, one.role, tuple(one.groups)) for one in peers}
        if self._refuser is None:
            self._listen()

    def close(self) -> None:
        """Frees the address; idempotent."""
        self._closed = True
        if self._refuser is not None:
            self._refuser.close()

    def _listen(self) -> None:
        from transport.door import Door
        from transport.refusing import Refuser

        server, pair = self._config.server, self._keys.server
        door = Door(server.bind, pair.public, pair.secret, self._admit, server.insecure)
        self._refuser = Refuser(door, self._loop, self._why)
        try:
            self._refuser.start()
        except BorutaError as error:
            log.error("standby_deaf reason=%r: it will not be able to lead either", error.message)

    def _admit(self, public: str) -> Caller | None:
        return self._keys.admit(public) or self._peers.get(public)

    def _why(self) -> NotLeader:
        servers = [self._leader] if self._leader else []
        where = f": {self._leader} does" if self._leader else ""
        return NotLeader(
            f"this server stands by, it does not lead{where}",
            servers=servers, retry_after_s=_RETRY_AFTER_S,
        )  # fmt: skip
