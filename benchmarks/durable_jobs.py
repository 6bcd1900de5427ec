"""Whole jobs a second with a store that survives, beside none, and beside bare inserts.

So many clients are at work at once, each at one job: request, IN PROGRESS, close; a job counts when
its board is IDLE again. A second is one of the clock: a disk's time is no processor's. The limit is
the same bytes in the same transactions, inserted into bare tables: no indexes, nothing read or
changed.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.engine import ADMIN, Engine, engine
from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.stores import Written, bare_s, databases, opened
from boruta.domain.changes import Change, RequestChanged
from boruta.domain.types import WorkerState


async def _through(made: Engine, jobs: int, clients: int) -> None:
    """So many jobs, to their ends."""
    loop, front = asyncio.get_running_loop(), made.front
    assigned: dict[int, asyncio.Future[None]] = {}

    def of(req_id: int) -> asyncio.Future[None]:
        return assigned.setdefault(req_id, loop.create_future())

    def on_change(change: Change) -> None:
        if isinstance(change, RequestChanged):
            of(change.request.id).set_result(None)

    front.feed(ADMIN).subscribe(on_change, kinds=("assigned",))
    numbers = iter(range(jobs))

    async def client(number: int) -> None:
        api = made.api(number)
        for _ in numbers:
            req_id = await api.new_request({"arch": "bench"}, 8)
            await of(req_id)
            await api.close_request(req_id)
            del assigned[req_id]

    await asyncio.gather(*(client(number) for number in range(clients)))
    workers = front.workers(ADMIN)
    while True:
        infos, _ = await workers.list_workers()
        if all(info.state is WorkerState.IDLE for info in infos):
            return
        await asyncio.sleep(0.01)


async def _rate(database: str | None, boards: int, jobs: int, written: Written) -> float:
    with opened(database, written) as kept:
        async with engine(boards, kept) as made:
            written.batches.clear()
            written.entries = 0
            began = time.perf_counter()
            await _through(made, jobs, boards)
            return jobs / (time.perf_counter() - began)


def run(scale: Scale) -> list[dict[str, Any]]:
    """Jobs a second over each database, and over none."""
    boards, jobs = scale.pick(300, 100, 4), scale.pick(3_000, 500, 10)
    times = scale.pick(3, 2, 1)
    found = []
    with databases() as there:
        nothing = max(asyncio.run(_rate(None, boards, jobs, Written())) for _ in range(times))
        found.append(result("durable jobs, no store", nothing, "jobs/s", "higher"))
        for name, database in there.items():
            rate = limit = 0.0
            for _ in range(times):
                written = Written()
                rate = max(rate, asyncio.run(_rate(database, boards, jobs, written)))
                limit = max(limit, jobs / bare_s(database, written))
            each = written.entries / max(1, len(written.batches))
            what = f"bare inserts of the same bytes, {each:.0f} changes a commit"
            found.append(result(f"durable jobs, {name}", rate, "jobs/s", "higher", limit, what))
    return found
