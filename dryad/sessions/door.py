"""Who comes in: the one key of the present stay, under the one name, and nobody else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import asyncssh

from dryad.sessions.listening import CONNECTIONS, KNOCKING
from dryad.sessions.program import HolderChannel
from dryad.sessions.stay import Stay

if TYPE_CHECKING:
    from dryad.sessions.embedded import Place

log = logging.getLogger("dryad.sessions")


Knocking = dict[asyncssh.SSHServerConnection, None]  # in order of arrival


class Door(asyncssh.SSHServer):
    """Decides for one connection.

    Args:
        stay: the stay at the time of the connection; another one's key never opens it.
        place: what does not change from one holder to the next.
        knocking: all connections of this place that are not in yet.
    """

    def __init__(self, stay: Stay | None, place: Place, knocking: Knocking) -> None:
        self._stay = stay
        self._place = place
        self._knocking = knocking
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        stay = self._stay
        if stay is None or stay.over or len(stay.connections) >= CONNECTIONS + KNOCKING:
            conn.abort()
            return
        stay.connections.add(conn)
        self._knocking[conn] = None
        if len(self._knocking) > KNOCKING:
            # Out of the list at once: it is told of its end later, and many may come until then.
            oldest = next(iter(self._knocking))
            del self._knocking[oldest]
            oldest.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._knocking.pop(self._connection, None)
            if self._stay is not None:
                self._stay.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def host_based_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        stay = self._stay
        return (
            stay is not None
            and not stay.over
            and username == self._place.username
            and key.public_data == stay.key
        )

    def auth_completed(self) -> None:
        stay, connection = self._stay, self._connection
        assert connection is not None
        self._knocking.pop(connection, None)
        if stay is None or stay.over:  # ended between the key and its signature
            connection.abort()
            return
        stay.login()

    def session_requested(self) -> HolderChannel | bool:
        if self._stay is None or self._stay.over:
            return False
        return HolderChannel(self._stay, self._place)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        """Forwarding to wherever a program of the holder's could connect as well."""
        return self._stay is not None and not self._stay.over

    # Everything else that a client may ask for (listening here, Unix sockets, tun, X11, an agent's
    # socket) is refused by asyncssh's defaults and the options in `embedded`.
