"""The tables in one file: SQLite in WAL mode, each commit on the disk when it returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from boruta.domain.errors import StoreUnavailable
from boruta.store.backend import ServerIdentity
from boruta.store.database import SqlBackend
from boruta.store.seal import Seal

BUSY_S: Final = 2.0  # another program may hold the file this long before we count as unwell
# A log that grew during a long read goes back to this at its next checkpoint.
WAL_BYTES: Final = 64 << 20
PRAGMAS: Final[Mapping[str, object]] = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "journal_size_limit": WAL_BYTES,
}
_REASONS: Final = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_BUSY": "another program has it locked",
    "SQLITE_LOCKED": "another program has it locked",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_IOERR": "the disk fails",
    "SQLITE_PERM": "it may not be opened",
    "SQLITE_CORRUPT": "the file is damaged; boruta check-store tells what is wrong",
    "SQLITE_NOTADB": "this is no database of SQLite's; boruta check-store tells more",
}


def why(error: BaseException) -> str:
    """What SQLite or the system says, for a person."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    name = str(getattr(error, "sqlite_errorname", "") or "")
    for prefix, reason in _REASONS.items():
        if name.startswith(prefix):
            return f"{reason} ({error})"
    return str(error)


def make_engine(
    path: Path, pragmas: Mapping[str, object], busy_s: float = BUSY_S, *, write: bool = True
) -> sa.Engine:
    """An engine over a file that exists: it is never made.

    With `write` each transaction holds the one lock that writers share, from its beginning.
    """
    uri = f"{path.absolute().as_uri()}?mode={'rw' if write else 'ro'}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            for name, value in pragmas.items():
                connection.execute(f"PRAGMA {name} = {value}")
        except BaseException:
            connection.close()
            raise
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)

    # The driver would begin a transaction at the first change, with no lock held at the fence.
    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


class SqliteBackend(SqlBackend):
    """`Backend` over DATA/boruta.db. `pragmas` are set on each connection, for tests too."""

    lock = ""  # BEGIN IMMEDIATE has locked it already
    xid = "NULL"
    integrity_error = sqlite3.IntegrityError
    driver_error = sqlite3.Error

    def __init__(
        self,
        path: Path,
        seal: Seal,
        server: ServerIdentity,
        utcnow: Callable[[], datetime],
        *,
        busy_s: float = BUSY_S,
    ) -> None:
        super().__init__(seal, server, utcnow)
        self.path = path
        self.name = str(path)
        self.pragmas: dict[str, Any] = dict(PRAGMAS)
        self._busy_s = busy_s
        self._file: tuple[int, int] | None = None

    def new_engine(self) -> sa.Engine:
        """An engine over the database."""
        return make_engine(self.path, self.pragmas, self._busy_s)

    def reading_engine(self) -> sa.Engine:
        """An engine for whoever only reads: the writer does not wait for him."""
        return make_engine(self.path, {}, write=False)

    def _why(self, error: BaseException) -> str:
        return why(error)

    def _look(self) -> None:
        # SQLite would go on with a file that nobody will ever see again.
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            raise StoreUnavailable(
                f"{self.name}: the file was removed while the server runs; put it back"
            ) from None
        here = (found.st_dev, found.st_ino)
        if self._file is None:
            self._file = here
        elif here != self._file:
            raise StoreUnavailable(
                f"{self.name}: another file was put in its place while the server runs; "
                "put the first one back, or stop the server"
            )
