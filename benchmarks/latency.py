"""From new_request to IN PROGRESS, and from close to a board that is IDLE with a new key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.server import farm
from boruta.aio import Client, connect
from boruta.domain.changes import Change, WorkerChanged
from boruta.domain.types import WorkerState

BOARDS: Final = 40
WANTED: Final = {"arch": "bench"}
IN_FLIGHT: Final = 16


async def _measure(data: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    submits: list[float] = []
    returns: list[float] = []
    pings: list[float] = []
    async with connect(data=data) as client:
        idle: dict[str, asyncio.Event] = {}

        def on_change(change: Change) -> None:
            if isinstance(change, WorkerChanged) and change.worker.state is WorkerState.IDLE:
                event = idle.get(change.worker.worker_uuid)
                if event is not None:
                    event.set()

        watching = await client.subscribe(on_change)
        for _ in range(rounds):
            began = time.perf_counter()
            await client.info()
            pings.append(time.perf_counter() - began)
            began = time.perf_counter()
            req_id = await client.new_request(WANTED, 8)
            await client.acquire_worker(req_id)
            submits.append(time.perf_counter() - began)
            info = await client.get_request_info(req_id)
            assert info.job is not None
            event = idle[info.job.worker_uuid] = asyncio.Event()
            began = time.perf_counter()
            await client.close_request(req_id)
            await event.wait()
            returns.append(time.perf_counter() - began)
        watching.close()
    return submits, returns, pings


# --- half load
async def _job(client: Client) -> None:
    req_id = await client.new_request(WANTED, 8)
    await client.acquire_worker(req_id)
    await client.close_request(req_id)


async def _most(client: Client, jobs: int) -> float:
    """Jobs a second that one client gets done at most."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> None:
        async with gate:
            await _job(client)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(jobs)))
    return jobs / (time.perf_counter() - began)


@asynccontextmanager
async def _stream(client: Client, a_second: float) -> AsyncIterator[None]:
    """Jobs at this rate meanwhile, whether the last one is over or not."""
    running: set[asyncio.Task[None]] = set()

    async def stream() -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += 1 / a_second
            await asyncio.sleep(max(0.0, due - loop.time()))
            task = asyncio.create_task(_job(client))
            running.add(task)
            task.add_done_callback(running.discard)

    streaming = asyncio.create_task(stream())
    try:
        yield
    finally:
        streaming.cancel()
        await asyncio.gather(streaming, *running, return_exceptions=True)


async def _at_half_load(data: Path, rounds: int, jobs: int) -> tuple[list[float], float]:
    async with connect(data=data) as client, connect(data=data) as other:
        most = await _most(client, jobs)
        held = [await client.new_request(WANTED, 8) for _ in range(BOARDS // 2)]
        for req_id in held:
            await client.acquire_worker(req_id)
        took = []
        async with _stream(other, most / 2):
            for _ in range(rounds):
                began = time.perf_counter()
                req_id = await client.new_request(WANTED, 8)
                await client.acquire_worker(req_id)
                took.append(time.perf_counter() - began)
                await client.close_request(req_id)
        for req_id in held:
            await client.close_request(req_id)
    return took, most


def run(scale: Scale) -> list[dict[str, Any]]:
    """Milliseconds over ZeroMQ; two calls are on the way to IN PROGRESS."""
    rounds = scale.pick(500, 100, 5)
    with farm(BOARDS) as data:
        asyncio.run(_measure(data, scale.pick(20, 20, 1)))  # warm
        submits, returns, pings = asyncio.run(_measure(data, rounds))
        loaded, most = asyncio.run(_at_half_load(data, rounds, scale.pick(1_000, 200, 5)))
    trips = 2e3 * percentile(pings, 50)
    what = "two bare calls of the same client"
    found = []
    for times, where in ((submits, "idle farm"), (loaded, f"half load ({most / 2:.0f} jobs/s)")):
        for percent in (50, 99):
            value = 1e3 * percentile(times, percent)
            name = f"submit to IN PROGRESS, {where}, p{percent}"
            found.append(result(name, value, "ms", "lower", trips, what))
    value = 1e3 * percentile(returns, 50)
    found.append(result("close to IDLE with a new key, p50", value, "ms", "lower", trips, what))
    return found
