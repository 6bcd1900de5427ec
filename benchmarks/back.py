"""Seconds until all agents are there again after the server was killed.

Links as real agents have, with their own waits between two tries, in two other processes; the
server keeps what it knows in SQLite. It is started again at once, or after so long that each agent
waits as long as any does.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.agents import PROCESSES, SETTLES_S
from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.server import running
from benchmarks.stores import SQLITE
from boruta.aio import connect

BACK_S: Final = 30.0  # what is aimed at with 1,000
AWAY_S: Final = 20.0


def run(scale: Scale) -> list[dict[str, Any]]:
    """Counted from the server's second start, which is part of it."""
    size = scale.pick(1_000, 200, 4)
    found = []
    with running(size, PROCESSES, database=SQLITE) as (server, boards):
        for away_s, told in ((0.0, "at once"), (scale.pick(AWAY_S, 10.0, 0.1), "later")):
            time.sleep(scale.pick(SETTLES_S, 2.0, 0.1))  # boards are prepared
            server.kill()
            time.sleep(away_s)
            began = time.monotonic()
            server.start()
            for process in boards:
                process.wait()
            back = time.monotonic() - began
            assert asyncio.run(_online(server.data)) == size
            name = f"agents, all back after a kill, started {told} @ {size:,}"
            found.append(result(name, back, "s", "lower", BACK_S, "what it should be at most"))
    return found


async def _online(data: Path) -> object:
    async with connect(data=data) as client:
        return (await client.info())["online"]
