"""From new_request to IN PROGRESS, and from close to a board that is IDLE with a new key."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.server import farm
from boruta.domain.changes import Change, WorkerChanged
from boruta.domain.types import WorkerState


async def _measure(data: Path, rounds: int) -> tuple[list[float], list[float], list[float]]:
    from boruta.aio import connect

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
            req_id = await client.new_request({"arch": "bench"}, 8)
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


def run(scale: Scale) -> list[dict[str, Any]]:
    """Milliseconds over ZeroMQ on an idle farm; two calls are on the way to IN PROGRESS."""
    with farm(10) as data:
        asyncio.run(_measure(data, scale.pick(20, 20, 1)))  # warm
        submits, returns, pings = asyncio.run(_measure(data, scale.pick(500, 100, 5)))
    trips = 2e3 * percentile(pings, 50)
    what = "two bare calls of the same client"
    found = []
    for percent in (50, 99):
        value = 1e3 * percentile(submits, percent)
        name = f"submit to IN PROGRESS, p{percent}"
        found.append(result(name, value, "ms", "lower", trips, what))
    value = 1e3 * percentile(returns, 50)
    found.append(result("close to IDLE with a new key, p50", value, "ms", "lower", trips, what))
    return found
