"""Admitted peers in a database that several servers share (SAFETY, D)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from boruta.domain.errors import StoreUnavailable
from boruta.domain.types import Role
from boruta.peers import Peer

if TYPE_CHECKING:
    import psycopg

    from boruta.store.postgres import PostgresBackend

_PUT = (
    "INSERT INTO peers (public_key, name, role, groups, removed_at) VALUES (%s, %s, %s, %s, NULL) "
    "ON CONFLICT (public_key) DO UPDATE SET name = excluded.name, role = excluded.role, "
    "groups = excluded.groups, removed_at = NULL"
)
_DROP = "UPDATE peers SET removed_at = %s, name = public_key WHERE public_key = %s"


def read_peers(connection: psycopg.Connection[Any]) -> tuple[list[Peer], frozenset[str]]:
    """Those who are admitted, and the public keys that were and are not any more."""
    rows = connection.execute(
        "SELECT public_key, name, role, groups, removed_at FROM peers ORDER BY name"
    ).fetchall()
    admitted = [
        Peer(name, Role(role), tuple(groups.split("\n") if groups else ()), public)
        for public, name, role, groups, removed in rows
        if removed is None
    ]
    return admitted, frozenset(row[0] for row in rows if row[4] is not None)


class SharedPeers:
    """The table `peers`. All methods may block, and are for any thread.

    A removed key keeps its row, so that the files of a server that was away do not bring it back.
    """

    def __init__(self, backend: PostgresBackend) -> None:
        self._backend = backend

    def read(self) -> tuple[list[Peer], frozenset[str]]:
        """Those who are admitted, and the public keys that were and are not any more.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        with self._connected() as connection:
            return read_peers(connection)

    def write(self, put: Sequence[Peer], dropped: Sequence[str], at: int) -> None:
        """Admits some, and others no more.

        Args:
            put: whom to admit, or who has other rights now.
            dropped: public keys.
            at: microseconds since 1970.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        with self._connected() as connection, connection.transaction():
            for public in dropped:
                connection.execute(_DROP, (at, public))
            for peer in put:
                groups = "\n".join(peer.groups)
                connection.execute(_PUT, (peer.public, peer.name, peer.role.value, groups))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        import psycopg

        from boruta.store.postgres import why

        try:
            with self._backend.connect() as connection:
                yield connection
        except psycopg.Error as error:
            raise StoreUnavailable(f"{self._backend.name}: peers: {why(error)}") from error
