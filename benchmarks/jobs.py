"""Whole jobs a second: request, IN PROGRESS, close, board idle again.

In process a second is one of the processor, so that a busy machine blurs no figure; over ZeroMQ,
where four processes share the machine, it is one of the clock, and the server's processor time of
a job stands beside.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.engine import ADMIN, Engine, engine
from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.server import running
from boruta.domain.changes import Change, RequestChanged
from boruta.domain.types import WorkerState

IN_FLIGHT = 64  # calls that one client has under way over the wire


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    state: str


def _bare(jobs: int) -> float:
    """The least that any engine does: a queue, rows that change state, a turn of the loop each."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        queue: list[tuple[int, int]] = []
        rows: dict[int, _Row] = {}
        left = jobs
        done = loop.create_future()

        def close(number: int) -> None:
            nonlocal left
            rows[number] = replace(rows[number], state="DONE")
            left -= 1
            if left == 0:
                done.set_result(None)

        def match() -> None:
            _, number = heapq.heappop(queue)
            rows[number] = replace(rows[number], state="IN PROGRESS")
            loop.call_soon(close, number)

        began = time.perf_counter()
        for number in range(jobs):
            rows[number] = _Row(number, "WAITING")
            heapq.heappush(queue, (8, number))
            loop.call_soon(match)
        await done
        return jobs / (time.perf_counter() - began)

    return asyncio.run(run())


async def _in_process(boards: int, jobs: int) -> float:
    async with engine(boards) as made:
        return await _through(made, jobs)


async def _through(made: Engine, jobs: int) -> float:
    loop, front = asyncio.get_running_loop(), made.front
    api = front.requests(ADMIN)
    left = jobs
    done = loop.create_future()
    closing: set[asyncio.Task[None]] = set()

    def on_change(change: Change) -> None:
        nonlocal left
        if not isinstance(change, RequestChanged):
            return
        if change.kind == "assigned":
            task = loop.create_task(api.close_request(change.request.id))
            closing.add(task)
            task.add_done_callback(closing.discard)
        elif change.kind == "ended":
            left -= 1
            if left == 0:
                done.set_result(None)

    front.feed(ADMIN).subscribe(on_change, kinds=("assigned", "ended"))
    began = time.process_time()
    for number in range(jobs):
        await made.api(number).new_request({"arch": "bench"}, 8)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await done
    workers = front.workers(ADMIN)
    while True:
        infos, _ = await workers.list_workers()
        if all(info.state is WorkerState.IDLE for info in infos):
            break
        await asyncio.sleep(0.01)
    return jobs / (time.process_time() - began)


async def _over_zeromq(data: Any, jobs: int) -> float:
    from boruta.aio import connect

    async with connect(data=data) as client:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> None:
            async with gate:
                req_id = await client.new_request({"arch": "bench"}, 8)
                await client.acquire_worker(req_id)
                await client.close_request(req_id)

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(jobs)))
        return jobs / (time.perf_counter() - began)


def run(scale: Scale) -> list[dict[str, Any]]:
    """Jobs a second, in process at several sizes of the farm, and over the wire."""
    found = []
    for boards in scale.pick((100, 300, 1_000, 3_000), (50, 100, 200, 400), (2, 3, 4, 5)):
        jobs = scale.pick(10 * boards, 5 * boards, 10)
        found.append(
            result(
                f"jobs in process @ {boards:,}",
                max(asyncio.run(_in_process(boards, jobs)) for _ in range(scale.pick(2, 1, 1))),
                "jobs/s",
                "higher",
                max(_bare(jobs) for _ in range(3)),
                "a bare loop that does the least",
            )
        )
    inside = max(one["value"] for one in found)
    jobs = scale.pick(2_000, 300, 10)
    for boards in scale.pick((20, 60, 200, 600), (10, 20, 40, 80), (1, 2, 3, 4)):
        with running(boards, processes=min(2, boards)) as (server, _):
            asyncio.run(_over_zeromq(server.data, jobs // 5))  # warm
            before = server.cpu_s()
            rate = asyncio.run(_over_zeromq(server.data, jobs))
            each = 1e3 * (server.cpu_s() - before) / jobs
        name = f"jobs over ZeroMQ, real session keys @ {boards:,}"
        found.append(result(name, rate, "jobs/s", "higher", inside, "in process"))
        name = f"the server's processor time of a job over ZeroMQ @ {boards:,}"
        found.append(result(name, each, "ms", "lower", 1e3 / inside, "in process"))
    return found
