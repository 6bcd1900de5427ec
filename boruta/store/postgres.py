"""The tables in PostgreSQL, by psycopg 3."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from boruta.domain.errors import BadConfig, StoreUnavailable
from boruta.store.backend import ServerIdentity
from boruta.store.database import LogPlace, SqlBackend
from boruta.store.many import ManyAtOnce, as_json
from boruta.store.net import Values
from boruta.store.seal import Seal
from boruta.store.statements import Run, Statement, Statements

if TYPE_CHECKING:
    import psycopg

# SAFETY, A12: a server that was stopped inside a transaction must not hold up its successor; and a
# commit counts only when it is on the disk, whatever the database's own default is. A plan is kept
# though its table grows: each row is to be found by its index, however few there were then.
SETTINGS: Final = (
    "-c idle_in_transaction_session_timeout=2000 -c lock_timeout=2000 -c synchronous_commit=on "
    "-c default_transaction_isolation=read\\ committed -c timezone=UTC "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
    "-c jit=off"  # none of our statements is worth it, and what is 'off' above counts as dear
)
CONNECT: Final[dict[str, Any]] = {
    "options": SETTINGS,
    "connect_timeout": 5,
    "application_name": "boruta",
    # A host that vanished is noticed though it sends nothing.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
NOW: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"  # as columns have it
_STATES: Final = {
    "53100": "its disk is full",
    "53300": "it takes no more connections",
    "25006": "it is read-only",
    "55P03": "another transaction holds the log: one whose end is unknown, or another server's",
    "57P01": "it is stopping",
    "57P02": "it is stopping",
    "57P03": "it is starting or stopping",
    "28P01": "it refuses the password",
    "28000": "it refuses this user",
    "3D000": "there is no such database",
}


def engine_url(url: str) -> sa.URL:
    """The URL as SQLAlchemy wants it.

    Raises:
        BadConfig: it is none, or the driver is not installed.
    """
    try:
        found = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise BadConfig("database: want postgresql://USER@HOST/NAME") from None
    if found.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise BadConfig(f"database: {found.drivername!r}: want postgresql://USER@HOST/NAME")
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise BadConfig(
            "database: psycopg is not installed: pip install 'boruta-farm[postgres]'"
        ) from None
    return found.set(drivername="postgresql+psycopg")


def why(error: BaseException) -> str:
    """What PostgreSQL says, for a person."""
    state = getattr(error, "sqlstate", None)
    told = " ".join(str(error).split())
    if state in _STATES:
        return f"{_STATES[state]} ({told})"
    return told or type(error).__name__


class PostgresBackend(SqlBackend):
    """`Backend` over a PostgreSQL database."""

    lock = "FOR SHARE OF leader FOR UPDATE OF meta"
    xid = "pg_current_xact_id()::text::bigint"
    # Rows are decoded between the queries; 100,000 of them take longer than a transaction that
    # holds a lock may be idle, and this one holds none.
    patience = "SET LOCAL idle_in_transaction_session_timeout = '60s'"

    def __init__(
        self,
        url: str,
        seal: Seal,
        server: ServerIdentity,
        utcnow: Callable[[], datetime],
    ) -> None:
        super().__init__(seal, server, utcnow)
        self._url = engine_url(url)
        import psycopg

        self.integrity_error = psycopg.IntegrityError
        self.driver_error = psycopg.Error
        self.name = self._url.set(drivername="postgresql").render_as_string(hide_password=True)
        self._guard = threading.Lock()
        self._wire: _Wire | None = None  # of the connection
        self._unsure = True

    def new_engine(self) -> sa.Engine:
        """An engine over the database."""
        return make_engine(self._url)

    def reading_engine(self) -> sa.Engine:
        """An engine for whoever only reads: the writer does not wait for him."""
        return make_engine(self._url)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, which commits each statement; for whoever is not the writer."""
        import psycopg

        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(url, autocommit=True, **CONNECT)

    def try_lead(self, lease_s: float) -> int | None:
        """Takes the lead if nobody has it, or we had; the leader epoch. None: somebody leads.

        Raises:
            BadConfig: the keys in the database were sealed with another store key.
        """
        with self._transaction() as connection:
            sealed = connection.exec_driver_sql("SELECT store_key_id FROM meta").scalar_one()
        if sealed and sealed != self._seal.key_id:
            raise BadConfig(
                f"{self.name}: it belongs to servers with another store key: boruta key share FILE "
                "on one of them, and boruta server --join FILE here"
            )
        return self._take_lead(
            f"epoch = epoch + 1, server_id = ?, lease_until = {NOW} + ? "
            f"WHERE lease_until IS NULL OR lease_until <= {NOW} OR server_id = ?",
            (self._server.id, int(lease_s * 1e6), self._server.id),
        )

    def _why(self, error: BaseException) -> str:
        return why(error)

    def _open(self) -> sa.Connection:
        if self._connection is not None:
            return self._connection
        connection = super()._open()
        driver: Any = connection.connection.driver_connection
        wire = _Wire(driver.fileno())
        with self._guard:
            self._wire = wire
        return connection

    def close(self) -> None:
        """Closes what is open; idempotent."""
        with self._guard:
            wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        self._unsure = True
        super().close()

    def new_statements(self) -> Statements:
        """What it writes with."""
        return ManyAtOnce(self.xid)

    def _write(self, connection: sa.Connection, runs: Sequence[Run], place: LogPlace) -> None:
        """One exchange with the database for all of it; the commit is the other one."""
        if self._unsure:
            # After an error nobody knows whether that try was committed: look before writing.
            super()._write(connection, runs, place)
            self._unsure = False
            return
        driver: Any = connection.connection.driver_connection
        fence, cursors = driver.cursor(), [driver.cursor() for _ in runs]
        try:
            with driver.pipeline():
                fence.execute(self._fenced)
                for cursor, (statement, rows) in zip(cursors, runs, strict=True):
                    cursor.execute(statement.text, (as_json(statement.names, rows),))
        except self.driver_error:
            # What is written under another's lead may well fail at an index: say that he leads.
            with contextlib.suppress(self.driver_error):
                self._is_there(self._position(fence.fetchone(), place.leader_epoch), place)
            raise
        if self._is_there(self._position(fence.fetchone(), place.leader_epoch), place):
            raise StoreUnavailable(f"{self.name}: the batch is there already")
        for cursor, (statement, rows) in zip(cursors, runs, strict=True):
            self._counted(statement, rows, cursor.rowcount)

    def _execute(
        self, connection: sa.Connection, statement: Statement, rows: Sequence[Values]
    ) -> int:
        return self._once(connection, statement.text, (as_json(statement.names, rows),))

    def _once(self, connection: sa.Connection, text: str, values: Values) -> int:
        return super()._once(connection, text.replace("?", "%s"), values)

    def interrupt(self) -> None:
        """Cuts the connection: whoever waits for an answer on it has an error then."""
        with self._guard, contextlib.suppress(OSError):
            if self._wire is not None:
                self._wire.cut()


class _Wire:
    """A connection's socket, by a descriptor of our own.

    The library closes its own as soon as it hears that the connection is over, and anybody in this
    process may be given the number then: a holder's tunnel would be cut in its place.
    """

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)

    def cut(self) -> None:
        """Whoever waits on it has an error then."""
        with socket.socket(fileno=os.dup(self._fd)) as same:
            same.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Lets go of it; idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine that keeps no connections of its own."""
    return sa.create_engine(
        url,
        poolclass=sa.NullPool,
        connect_args=CONNECT,
        use_native_hstore=False,  # each engine would look for that type first; no column has it
    )
