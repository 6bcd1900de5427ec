"""Whole jobs a second: request, IN PROGRESS, close, board idle again."""

from __future__ import annotations

import asyncio
import gc
import heapq
import time
from dataclasses import dataclass, replace
from typing import Any

from actors.directory import Rules
from actors.front import EngineFront
from actors.runtime import LoopDispatcher
from actors.system import System
from benchmarks.result import result
from benchmarks.server import farm
from boruta.domain.changes import Change, RequestChanged
from boruta.domain.types import Caller, Role, WorkerState
from boruta.server import GC_THRESHOLDS
from boruta.store.memory import MemoryStore
from boruta.testing.access import FakeAccess
from boruta.testing.dryad import FakeDryad

ADMIN = Caller("admin", Role.ADMIN)
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
    loop = asyncio.get_running_loop()
    dispatcher = LoopDispatcher(loop)
    counter = iter(range(1 << 60))

    def make_key() -> tuple[str, str]:
        number = next(counter)
        return f"private {number}", f"ssh-ed25519 {number}"

    rules = Rules(initial=WorkerState.IDLE)
    system = System(
        dispatcher, MemoryStore(), FakeAccess(), make_key, lambda: 0.5, rules, "bench"
    )
    system.start()
    front = EngineFront(system)
    for number in range(boards):
        dryad = FakeDryad(dispatcher, {"UUID": f"board-{number:05}", "arch": "bench"})
        await front.superviser(ADMIN).register(dryad.registration(), dryad)
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
    began = time.perf_counter()
    for number in range(jobs):
        await api.new_request({"arch": "bench"}, 8)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await done
    workers = front.workers(ADMIN)
    while True:
        infos, _ = await workers.list_workers()
        if all(info.state is WorkerState.IDLE for info in infos):
            break
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    system.stop()
    return jobs / took


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


def run(quick: bool) -> list[dict[str, Any]]:
    """Jobs a second, in process and over the wire."""
    boards, jobs = (200, 2_000) if quick else (1_000, 10_000)
    bare = _bare(jobs)
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)  # as the server has it
    inside = asyncio.run(_in_process(boards, jobs))
    wired = 500 if quick else 3_000
    with farm(200, processes=2) as data:
        asyncio.run(_over_zeromq(data, wired // 10))  # warm
        outside = asyncio.run(_over_zeromq(data, wired))
    what = "a bare loop that does the least"
    return [
        result("jobs in process", inside, "jobs/s", "higher", bare, what),
        result("jobs over ZeroMQ, real session keys", outside, "jobs/s", "higher", inside,
               "in process"),
    ]  # fmt: skip
