"""Resident memory of queued requests, and of a large farm, each in a process of its own.

Everything counts that the process has more than before: rows, actors, mailboxes, timers, the
matcher's queues, the news kept for those who come back.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from typing import Any, Final

from benchmarks.actors import rss
from benchmarks.engine import engine
from benchmarks.index import caps_of_kind
from benchmarks.result import result
from benchmarks.scale import Scale

A_REQUEST_B: Final = 6_000  # what is aimed at
A_FARM_B: Final = 1.2e9


def run(scale: Scale) -> list[dict[str, Any]]:
    """Bytes of a request by length of the queue; the whole process with many boards."""
    sizes = scale.pick(
        (1_000, 10_000, 30_000, 100_000), (1_000, 3_000, 10_000, 30_000), (20, 40, 60, 80)
    )
    found = []
    for size in sizes:
        _, before, after, plain = _child(size, 0)
        name = f"bytes of a queued request @ {size:,}"
        beside = "a dict of its fields"
        found.append(result(name, (after - before) / size, "B", "lower", plain / size, beside))
    boards, size = scale.pick((10_000, 100_000), (1_000, 30_000), (5, 20))
    start, _, after, _ = _child(size, boards)
    name = f"RSS with {size:,} queued and {boards:,} boards"
    beside = "the same process before the first board"
    found.append(result(name, after / 1e6, "MB", "lower", start / 1e6, beside))
    return found


def _child(size: int, boards: int) -> tuple[int, ...]:
    command = [sys.executable, "-m", "benchmarks.memory", str(size), str(boards)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(map(int, out.split()))


async def _measure(size: int, boards: int) -> None:
    async with engine(0) as made:
        await made.fill(1, caps_of_kind)  # what is loaded and made once
        start = rss()
        await made.boards(boards)
        await made.settled()
        gc.collect()
        before = rss()
        await made.fill(size + 1, lambda number: caps_of_kind(number % 100))
        gc.collect()
        after = rss()
        rows = [
            dict(zip(row._fields, row, strict=True))
            for row in made.system.directory.store.requests()
        ]
        gc.collect()
        print(start, before, after, rss() - after)
        sys.stdout.flush()
        assert rows
        os._exit(0)  # stopping them all is another figure


if __name__ == "__main__":
    asyncio.run(_measure(*map(int, sys.argv[1:])))
