"""What the tests of the store have in common: a loop of their own, rows, places of databases."""

from __future__ import annotations

import queue
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from boruta.domain.rows import JobRow, ProlongedBy, RequestRow, WorkerRow, Write
from boruta.domain.types import Capabilities, ReqState, WorkerState
from boruta.store.backend import ServerIdentity
from boruta.store.database import SqlBackend
from boruta.store.durable import DurableStore
from boruta.store.memory import MemoryStore
from boruta.store.opening import open_backend
from boruta.store.sqlite import SqliteBackend
from boruta.store.writer import Pace

NOW = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
WITHIN_S = 15.0
QUICK = Pace(retry_s=(0.02, 0.1), slow_s=0.4, prune_every_s=3600.0)


def private_dir(path: Path) -> Path:
    """A data directory."""
    path.mkdir(mode=0o700)
    (path / "keys").mkdir(mode=0o700)
    return path


class Loop:
    """A loop that runs what the writer posts when the test looks."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def post(self, fn: Callable[[], None]) -> None:
        self._posted.put(fn)

    def run_until(self, done: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Runs what is posted until `done`."""
        end = time.monotonic() + within_s
        while not done():
            left = end - time.monotonic()
            assert left > 0, "it did not come within the time"
            try:
                self._posted.get(timeout=min(left, 0.2))()
            except queue.Empty:
                continue

    def run_all(self) -> None:
        """Runs what has been posted so far."""
        while True:
            try:
                self._posted.get_nowait()()
            except queue.Empty:
                return


class Clock:
    """The time, as the test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Place:
    """A database that can be opened again and again, as by the lives of one server."""

    database: str

    def __init__(self, data: Path) -> None:
        self.data = data
        self.loop = Loop()
        self.clock = Clock()
        self._open: list[DurableStore] = []

    def backend(self) -> SqlBackend:
        """The database, open."""
        return open_backend(self.database, self.data, ServerIdentity("s1"), self.clock)

    def open(self, backend: Any = None, **more: Any) -> DurableStore:
        """A life of the server."""
        more.setdefault("pace", QUICK)
        below = self.backend() if backend is None else backend
        store = DurableStore(below, self.loop.post, self.clock, **more)
        self._open.append(store)
        return store

    def written(self, store: DurableStore) -> None:
        """Waits until all of it is on the disk."""
        self.loop.run_until(lambda: store.written == store.position)

    def close(self) -> None:
        """Ends what the test left open."""
        for store in self._open:
            store.close(0.5)

    def wipe(self) -> None:
        """Makes it as it was when it was new, faster than by a new one."""
        self.close()
        self._open.clear()
        backend = self.backend()
        engine = backend.new_engine()
        try:
            with engine.begin() as connection:
                for table in ("workers", "requests", "jobs", "events", "servers"):
                    connection.exec_driver_sql(f"DELETE FROM {table}")
                connection.exec_driver_sql(
                    "UPDATE meta SET position = 0, last_id = 0, last_seq = 0"
                )
        finally:
            engine.dispose()
            backend.close()

    def query(self, asked: str) -> list[tuple[Any, ...]]:
        """What a statement finds, on a connection of its own."""
        backend = self.backend()
        engine = backend.reading_engine()
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.exec_driver_sql(asked)]
        finally:
            engine.dispose()
            backend.close()


class Meddled(SqliteBackend):
    """A database whose connection a test can spoil."""

    _spoilt = False

    def meddle(self, **pragmas: object) -> None:
        """From its next transaction on it has these pragmas."""
        self.pragmas.update(pragmas)
        self._spoilt = True

    def _look(self) -> None:
        if self._spoilt:  # on the writer's thread, which alone may close it
            self._spoilt = False
            self.close()
        super()._look()


class SqlitePlace(Place):
    """DATA/boruta.db."""

    database = "sqlite:"

    @property
    def file(self) -> Path:
        """The database."""
        return self.data / "boruta.db"

    def backend(self) -> Meddled:
        """The database, open; it waits for others a moment only."""
        made = super().backend()
        return Meddled(self.file, made._seal, ServerIdentity("s1"), self.clock, busy_s=0.05)


class PostgresPlace(Place):
    """A database in a PostgreSQL."""

    def __init__(self, data: Path, url: str) -> None:
        super().__init__(data)
        self.database = url


Image = tuple[list[RequestRow], list[JobRow], list[WorkerRow], int, int]


def image(store: MemoryStore) -> Image:
    """All that a store knows."""
    requests = sorted(store.requests(), key=lambda row: row.id)
    jobs = [job for row in requests if (job := store.job(row.id)) is not None]
    return requests, jobs, list(store.workers()), store._last_id, store._last_seq


def a_request(store: MemoryStore, **more: Any) -> RequestRow:
    """A new request's row, not committed."""
    row = RequestRow(
        id=store.next_request(),
        rev=1,
        state=ReqState.WAIT,
        priority=8,
        queue_seq=store.next_seq(),
        caps=Capabilities(arch="armv7l"),
        valid_after=NOW,
        deadline=NOW + timedelta(days=30),
        job_timeout_s=3600.0,
        created=NOW,
        owner_name="ci",
    )
    return row._replace(**more)


def a_worker(uuid: str = "b1", **more: Any) -> WorkerRow:
    """A new worker's row."""
    return WorkerRow(uuid, 1, WorkerState.IDLE, prepared_key=f"prepared for {uuid}")._replace(
        **more
    )


def a_job(request: int, worker: str = "b1", epoch: int = 1, **more: Any) -> JobRow:
    """A new job's row; each request has a port of its own."""
    row = JobRow(
        request, 1, worker, epoch, NOW, NOW + timedelta(hours=1), 1, "private key text", "holder",
        ("ssh-ed25519 AAAA",), "127.0.0.1", 20_000 + request,
    )  # fmt: skip
    return row._replace(**more)


def a_busy_farm(store: DurableStore) -> None:
    """One job that runs, one request that waits, one board that is free."""
    held, waiting = a_request(store, state=ReqState.INPROGRESS), a_request(store)
    lent = a_worker("b1", state=WorkerState.RUN, board_epoch=1, request_id=held.id)
    free = a_worker("b2", board_epoch=5, server_epoch=3)
    for row in (held, waiting, a_job(held.id), lent, free):
        assert store.commit((Write(row, 0),)) is None


def change(file: Path, statement: str) -> None:
    """What another program might do to the file."""
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()


def a_full_request() -> RequestRow:
    """One in which no field is as it is by itself, with all that texts may have."""
    return RequestRow(
        id=17, rev=3, state=ReqState.FAILED, priority=1, queue_seq=99,
        caps=Capabilities({"b": "2", "a\0": "\ud800", "é": "\x01json:"}), valid_after=NOW,
        deadline=datetime.max.replace(tzinfo=UTC), job_timeout_s=0.1,
        created=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), owner_name="ci",
        owner_groups=("g", "h'"), note='\0 \x01json:"', token="\x01json:x", body_hash=b"\0\xff",
        session=bytes(16), bound=True, reason="half a pair \udfff", reason_code="internal",
        started=NOW, ended=NOW + timedelta(seconds=1),
    )  # fmt: skip


def a_full_job() -> JobRow:
    """The same of a job."""
    return JobRow(
        17, 2, "b é", 7, NOW, NOW, 3, "a private\nkey", "u", ("one", "two"), "::1", 22, NOW, 2,
        (ProlongedBy("ci", "t\0", NOW, 1),), NOW, "over",
    )  # fmt: skip


def a_full_worker() -> WorkerRow:
    """The same of a worker."""
    return WorkerRow(
        "b é", 5, WorkerState.FAIL, Capabilities(UUID="b é"), ("g",), 4, 7, "key", b"s" * 16, "why",
        "health", 1, 2, NOW, NOW, "h:1", "user", ("k",), "prepared", True, 17,
    )  # fmt: skip
