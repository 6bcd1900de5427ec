"""Stores that survive, for the engine in this process, and the same bytes written barely."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import sqlalchemy as sa

from boruta.domain.ports import Store
from boruta.store.backend import ServerIdentity
from boruta.store.database import LogPlace, SqlBackend
from boruta.store.durable import DurableStore
from boruta.store.memory import MemoryStore
from boruta.store.opening import open_backend
from boruta.store.statements import Run

# Of one table: its statement's rows, as tuples.
Batch = list[tuple[int, Sequence[tuple[Any, ...]]]]
SQLITE: Final = "sqlite:"


def utcnow() -> datetime:
    """The time, aware UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Written:
    """What was written in each transaction of the database, by number of columns."""

    batches: list[Batch] = field(default_factory=list)
    entries: int = 0

    def listen(self, backend: SqlBackend) -> None:
        """Notes what this one writes."""
        write = backend._write

        def noted(connection: sa.Connection, runs: Sequence[Run], place: LogPlace) -> None:
            self.batches.append([(len(rows[0]), rows) for _, rows in runs])
            self.entries += place.last - place.first + 1
            write(connection, runs, place)

        backend._write = noted  # type: ignore[method-assign]


@contextlib.contextmanager
def store(database: str, place: Path, written: Written | None = None) -> Iterator[DurableStore]:
    """A store of the running loop."""
    if not (place / "keys").exists():
        (place / "keys").mkdir(mode=0o700, parents=True)
        place.chmod(0o700)
    backend = open_backend(database, place, ServerIdentity("bench"), utcnow)
    if written is not None:
        written.listen(backend)
    made = DurableStore(backend, asyncio.get_running_loop().call_soon_threadsafe, utcnow)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def opened(database: str | None, written: Written | None = None) -> Iterator[Store]:
    """A store over a database, in a directory that is made for it; over none, if that is None."""
    if database is None:
        yield MemoryStore()
        return
    with (
        tempfile.TemporaryDirectory(prefix="boruta-bench-") as place,
        store(database, Path(place), written) as made,
    ):
        yield made


@contextlib.contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Names and URLs of what there is: SQLite, and a PostgreSQL of our own that syncs."""
    from tests.store import postgres

    reason = postgres.why_not()
    with contextlib.ExitStack() as all:
        found = {"SQLite": SQLITE}
        if reason:
            print(f"  without PostgreSQL: {reason}", file=sys.stderr)
        else:
            server = all.enter_context(postgres.running(fsync=True))
            found["PostgreSQL"] = server.url(server.new_database())
        yield found


def bare_s(database: str, written: Written) -> float:
    """Seconds that the same transactions take as inserts of the same values into bare tables."""
    with tempfile.TemporaryDirectory(prefix="boruta-bench-") as place:
        if database == SQLITE:
            return _bare_sqlite(Path(place) / "bare.db", written.batches)
        return _bare_postgres(database, written.batches)


def _widths(batches: Sequence[Batch]) -> set[int]:
    return {width for batch in batches for width, _ in batch}


@contextlib.contextmanager
def bare_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """A file of SQLite that syncs at each commit, as ours does, with nothing in it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        yield connection


def _bare_sqlite(path: Path, batches: Sequence[Batch]) -> float:
    with bare_sqlite(path) as connection:
        for width in _widths(batches):
            names = ", ".join(f"c{number}" for number in range(width))
            connection.execute(f"CREATE TABLE bare{width} ({names})")
        began = perf_counter()
        for batch in batches:
            connection.execute("BEGIN IMMEDIATE")
            for width, rows in batch:
                marks = ", ".join("?" * width)
                connection.executemany(f"INSERT INTO bare{width} VALUES ({marks})", rows)
            connection.execute("COMMIT")
        return perf_counter() - began


def _bare_postgres(url: str, batches: Sequence[Batch]) -> float:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for width in _widths(batches):
            names = ", ".join(f"c{number} text" for number in range(width))
            cursor.execute(f"DROP TABLE IF EXISTS bare{width}")
            cursor.execute(f"CREATE TABLE bare{width} ({names})")
        began = perf_counter()
        for batch in batches:
            cursor.execute("BEGIN")
            for width, rows in batch:
                with cursor.copy(f"COPY bare{width} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
            cursor.execute("COMMIT")
        return perf_counter() - began
