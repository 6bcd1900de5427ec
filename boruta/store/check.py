"""`boruta check-store`: what is wrong with a database file. Nothing is changed."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from boruta.domain.rows import JobRow, RequestRow, WorkerRow
from boruta.domain.types import ReqState, WorkerState
from boruta.store.columns import JOBS, REQUESTS, WORKERS, Columns
from boruta.store.files import read_only
from boruta.store.schema import SCHEMA
from boruta.store.seal import Seal
from boruta.store.sqlite import why

SAME_MOST: Final = 20  # findings of one kind that are listed; the rest is counted
_TABLES: Final = ("meta", "leader", "servers", "workers", "requests", "jobs", "peers", "events")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found; `bad`: a server would not start with it, or would be misled."""

    code: str
    text: str
    bad: bool = True


def check(path: Path, seal: Seal | None = None) -> list[Finding]:
    """All that is wrong with a database; an empty list: nothing.

    Args:
        path: a database of Boruta's, also one that is in use.
        seal: the store key, to see whether the keys of jobs can be read; None: not looked at.
    """
    found: list[Finding] = []
    try:
        with contextlib.closing(read_only(path)) as connection:
            for part in (_integrity, _schema):
                found += _few(part(connection))
                if any(one.bad for one in found):
                    return found  # what follows would be read from ruins
            connection.execute("BEGIN")  # one view, also while a server writes
            look = _Look(connection, seal)
            for findings in (look.rows(), look.relations(), look.counters()):
                found += _few(findings)
    except sqlite3.Error as error:
        found.append(Finding("damaged", why(error)))
    except OSError as error:
        found.append(Finding("damaged", error.strerror or str(error)))
    return found


def _few(findings: Iterator[Finding]) -> list[Finding]:
    kept: list[Finding] = []
    seen: dict[str, int] = {}
    for one in findings:
        seen[one.code] = seen.get(one.code, 0) + 1
        if seen[one.code] <= SAME_MOST:
            kept.append(one)
    for code, count in seen.items():
        if count > SAME_MOST:
            kept.append(Finding(code, f"{count - SAME_MOST} more like this"))
    return kept


def _integrity(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (text,) in connection.execute("PRAGMA integrity_check(50)"):
        if text != "ok":
            yield Finding("damaged", " ".join(str(text).split()))


def _schema(connection: sqlite3.Connection) -> Iterator[Finding]:
    names = {
        str(name)
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    if not names:
        yield Finding("empty", "it has no tables: no database, or one that was cut off")
        return
    if "alembic_version" not in names:
        yield Finding("foreign", "its tables are not Boruta's")
        return
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    number = int(row[0]) if row and str(row[0]).isdecimal() else 0
    if number > SCHEMA:
        yield Finding("newer", f"a newer Boruta made it (schema {number}; this one: {SCHEMA})")
        return
    if number < SCHEMA:
        text = f"an older Boruta made it (schema {number}); the server brings it up to {SCHEMA}"
        yield Finding("older", text, bad=False)
    for missing in sorted(set(_TABLES) - names):
        yield Finding("table_missing", f"the table {missing} is missing")


class _Look:
    """The rows, and how they fit together."""

    def __init__(self, connection: sqlite3.Connection, seal: Seal | None) -> None:
        self._connection = connection
        self._seal = seal
        self._requests: dict[int, RequestRow] = {}
        self._jobs: dict[int, JobRow] = {}
        self._workers: dict[str, WorkerRow] = {}

    def rows(self) -> Iterator[Finding]:
        """Rows that cannot be read."""
        yield from self._read(REQUESTS, "request", self._requests)
        yield from self._read(JOBS, "job of request", self._jobs, "key_enc", "key")
        yield from self._read(WORKERS, "worker", self._workers, "prepared_key_enc", "prepared_key")

    def _read(
        self,
        columns: Columns[Any],
        what: str,
        into: dict[Any, Any],
        sealed: str = "",
        key: str = "",
    ) -> Iterator[Finding]:
        asked = ", ".join(f'"{name}"' for name in columns.names)
        seal = self._seal or _BLIND
        for row in self._connection.execute(f"SELECT {asked} FROM {columns.table}"):
            try:
                found = into[row[0]] = columns.decode(row, seal)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                code = "unknown_state" if _unknown_state(columns, row) else "unreadable"
                yield Finding(code, f"{what} {row[0]!r} cannot be read: {told}")
                continue
            if not self._seal or not sealed:
                continue
            if row[columns.names.index(sealed)] and not getattr(found, key):
                text = f"{what} {row[0]!r}: its key was sealed under another store.key"
                yield Finding("key_lost", text, bad=False)

    def relations(self) -> Iterator[Finding]:
        """What must not be together."""
        live: dict[str, int] = {}
        for job in self._jobs.values():
            where = f"job of request {job.request_id}"
            holder = self._requests.get(job.request_id)
            if holder is None:
                yield Finding("orphan_job", f"{where}: there is no such request")
            elif holder.state is ReqState.WAIT:
                yield Finding("waiting_job", f"{where}: the request is still WAITING")
            if job.ended_at is not None:
                continue
            other = live.setdefault(job.worker_uuid, job.request_id)
            if other != job.request_id:
                text = f"worker {job.worker_uuid}: requests {other} and {job.request_id} hold it"
                yield Finding("two_jobs", text)
        for row in self._requests.values():
            if row.state is ReqState.INPROGRESS and row.id not in self._jobs:
                yield Finding("no_job", f"request {row.id} is IN PROGRESS without a job")
        for worker in self._workers.values():
            if worker.state is not WorkerState.RUN:
                continue
            mine = None if worker.request_id is None else self._jobs.get(worker.request_id)
            if mine is None or mine.worker_uuid != worker.uuid:
                yield Finding("no_job", f"worker {worker.uuid} is RUNNING without a job")

    def counters(self) -> Iterator[Finding]:
        """Numbers that would be given out again."""
        meta = self._connection.execute("SELECT last_id, last_seq FROM meta").fetchone()
        if meta is None or not self._connection.execute("SELECT 1 FROM leader").fetchone():
            yield Finding("no_meta", "the row of the tables meta or leader is missing")
            return
        highest = max(self._requests, default=0)
        if highest > meta[0]:
            yield Finding("low_id", f"ids up to {highest} are in use, the counter is at {meta[0]}")
        seq = max((row.queue_seq for row in self._requests.values()), default=0)
        if seq > meta[1]:
            yield Finding("low_seq", f"places up to {seq} are in use, the counter is at {meta[1]}")


def _unknown_state(columns: Columns[Any], row: Any) -> bool:
    if "state" not in columns.names:
        return False
    known: set[str] = {*ReqState} if columns is REQUESTS else {*WorkerState}
    return row[columns.names.index("state")] not in known


class _Blind:
    """Opens nothing: for a look without the store key."""

    key_id = ""

    def open(self, sealed: bytes | None, row: str, key_id: str | None) -> str | None:
        return ""


_BLIND: Any = _Blind()
