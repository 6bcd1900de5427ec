"""What it adds to a submit that it is answered after its commit, beside the bare commit."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.engine import engine
from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.stores import SQLITE, bare_sqlite, databases, opened

AT_ONCE: Final = 20
ROW: Final = "x" * 400  # about what the row of a request takes


async def _submits(database: str | None, rounds: int, clients: int) -> list[float]:
    """Seconds that each new request took, of so many clients at once."""
    took: list[float] = []
    with opened(database) as kept:
        async with engine(1, kept) as made:
            numbers = iter(range(rounds))

            async def client(number: int) -> None:
                api = made.api(number)
                for _ in numbers:
                    began = time.perf_counter()
                    await api.new_request({"arch": "that nobody has"}, 8)
                    took.append(time.perf_counter() - began)

            await asyncio.gather(*(client(number) for number in range(clients)))
    return took


def _bare(database: str, rounds: int) -> list[float]:
    """Seconds that each transaction of one row took, alone on the same disk."""
    with _insert_of(database) as insert:
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            insert()
            took.append(time.perf_counter() - began)
        return took


@contextmanager
def _insert_of(database: str) -> Iterator[Callable[[], object]]:
    with contextlib.ExitStack() as all:
        if database == SQLITE:
            place = all.enter_context(tempfile.TemporaryDirectory(prefix="boruta-bench-"))
            lite = all.enter_context(bare_sqlite(Path(place) / "bare.db"))
            lite.execute("CREATE TABLE bare_row (value)")
            yield lambda: lite.execute("INSERT INTO bare_row VALUES (?)", (ROW,))
        else:
            import psycopg

            large = all.enter_context(psycopg.connect(database, autocommit=True))
            large.execute("CREATE TABLE IF NOT EXISTS bare_row (value text)")
            yield lambda: large.execute("INSERT INTO bare_row VALUES (%s)", (ROW,))


def run(scale: Scale) -> list[dict[str, Any]]:
    """Milliseconds from new_request to its answer, in process."""
    rounds = scale.pick(2_000, 400, 5)
    found = []
    with databases() as there:
        for clients in (1, AT_ONCE):
            who = "1 client" if clients == 1 else f"{clients} clients"
            nothing = asyncio.run(_submits(None, rounds, clients))
            for name, database in there.items():
                with_it = asyncio.run(_submits(database, rounds, clients))
                bare = _bare(database, rounds)
                for percent in (50, 99):
                    found.append(
                        result(
                            f"submit, {name}, {who}, p{percent}",
                            1e3 * percentile(with_it, percent), "ms", "lower",
                            1e3 * percentile(bare, percent), "a bare commit of one row",
                        )
                    )  # fmt: skip
                    added = percentile(with_it, percent) - percentile(nothing, percent)
                    found.append(
                        result(
                            f"added by the store, {name}, {who}, p{percent}", 1e3 * added, "ms",
                            "lower", 1e3 * percentile(nothing, percent), "a submit without one",
                        )
                    )  # fmt: skip
    return found
