"""Seconds from the start of a server to its first answer, by how many requests are queued."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.server import ServerProcess
from benchmarks.stores import SQLITE, databases, store, utcnow
from boruta.aio import connect
from boruta.domain.rows import RequestRow, Write
from boruta.domain.types import Capabilities, ReqState
from boruta.store.durable import DurableStore

_AT_ONCE: Final = 1_000  # that wait to be written


async def _fill(database: str, data: Path, first: int, last: int) -> None:
    """Queues requests of this and that priority, as a server before would have left them."""
    with store(database, data) as made:
        for number in range(first, last):
            assert made.commit((Write(_row(made, number), 0),)) is None
            if number % _AT_ONCE == 0:
                await _written(made)
        await _written(made)


async def _written(made: DurableStore) -> None:
    written = asyncio.Event()
    made.when_written(made.position, written.set)
    await written.wait()


def _row(made: DurableStore, number: int) -> RequestRow:
    now = utcnow()
    return RequestRow(
        id=made.next_request(), rev=1, state=ReqState.WAIT, priority=1 + number % 16,
        queue_seq=made.next_seq(), caps=Capabilities({"arch": "bench", "slot": str(number % 100)}),
        valid_after=now, deadline=now + timedelta(days=30), job_timeout_s=3600.0, created=now,
        owner_name=f"user-{number % 50}", note="queued before the start",
    )  # fmt: skip


async def _first_answer(data: Path, queued: int) -> None:
    async with connect(data=data) as client:
        info = await client.info()
        assert info["live_requests"] == queued, info


def _start_s(place: Path, database: str, queued: int) -> float:
    server = ServerProcess(place, database)
    began = time.perf_counter()
    server.start()
    try:
        asyncio.run(_first_answer(server.data, queued))
        return time.perf_counter() - began
    finally:
        server.stop()


def _read_s(data: Path, database: str) -> float:
    """Seconds to fetch the same rows barely."""
    text = "SELECT * FROM requests ORDER BY id"
    began = time.perf_counter()
    if database == SQLITE:
        with contextlib.closing(sqlite3.connect(data / "boruta.db")) as lite:
            lite.execute(text).fetchall()
    else:
        import psycopg

        with psycopg.connect(database) as large:
            large.execute(text).fetchall()
    return time.perf_counter() - began


def run(scale: Scale) -> list[dict[str, Any]]:
    """Seconds, by size; each beside a bare read of the rows."""
    sizes = scale.pick((0, 1_000, 10_000, 100_000), (0, 1_000, 10_000), (5,))
    found = []
    with databases() as there:
        for name, database in there.items():
            with tempfile.TemporaryDirectory(prefix="boruta-bench-") as text:
                place, before = Path(text), 0
                for size in sizes:
                    asyncio.run(_fill(database, place / "data", before, size))
                    before = size
                    took = _start_s(place, database, size)
                    bare = _read_s(place / "data", database)
                    found.append(
                        result(f"start to first answer, {name} @ {size}", took, "s", "lower",
                               bare, "a bare read of the rows")
                    )  # fmt: skip
    return found
