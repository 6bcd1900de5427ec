"""From new_request to IN PROGRESS, and from close to a board that is IDLE with a new key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.result import percentile, result
from benchmarks.scale import Scale
from benchmarks.server import farm
from boruta.aio import Client, connect
from boruta.domain.changes import Change, RequestChanged, WorkerChanged
from boruta.domain.types import WorkerState

BOARDS: Final = 40
WANTED: Final = {"arch": "bench"}
IN_FLIGHT: Final = 16


@dataclass
class Times:
    """Seconds."""

    submits: list[float] = field(default_factory=list)  # until the client hears IN PROGRESS
    accesses: list[float] = field(default_factory=list)  # until he has his access
    returns: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)


class News:
    """What a client that watches has heard."""

    def __init__(self) -> None:
        self._got: dict[int, asyncio.Future[None]] = {}
        self.idle = asyncio.Event()

    def got(self, req_id: int) -> asyncio.Future[None]:
        """Done when the request is IN PROGRESS."""
        loop = asyncio.get_running_loop()
        return self._got.setdefault(req_id, loop.create_future())

    def take(self, change: Change) -> None:
        """Notes it."""
        if isinstance(change, RequestChanged):
            self.got(change.request.id).set_result(None)
        elif isinstance(change, WorkerChanged) and change.worker.state is WorkerState.IDLE:
            self.idle.set()


async def _measure(data: Path, rounds: int) -> Times:
    took, news = Times(), News()
    async with connect(data=data) as client, connect(data=data) as watcher:
        watching = await client.subscribe(news.take, kinds=("assigned",))
        boards = await watcher.subscribe(news.take, kinds=("state",))
        for _ in range(rounds):
            began = time.perf_counter()
            await client.info()
            took.pings.append(time.perf_counter() - began)
            began = time.perf_counter()
            req_id = await client.new_request(WANTED, 8)
            await news.got(req_id)
            took.submits.append(time.perf_counter() - began)
            await client.acquire_worker(req_id)
            took.accesses.append(time.perf_counter() - began)
            news.idle.clear()
            began = time.perf_counter()
            await client.close_request(req_id)
            await news.idle.wait()
            took.returns.append(time.perf_counter() - began)
        watching.close()
        boards.close()
    return took


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
        took, news = [], News()
        watching = await client.subscribe(news.take, kinds=("assigned",))
        async with _stream(other, most / 2):
            for _ in range(rounds):
                began = time.perf_counter()
                req_id = await client.new_request(WANTED, 8)
                await news.got(req_id)
                took.append(time.perf_counter() - began)
                await client.close_request(req_id)
        watching.close()
        for req_id in held:
            await client.close_request(req_id)
    return took, most


def run(scale: Scale) -> list[dict[str, Any]]:
    """Milliseconds over ZeroMQ, by the clock of a client that watches; nothing is kept."""
    rounds = scale.pick(500, 100, 5)
    with farm(BOARDS) as data:
        asyncio.run(_measure(data, scale.pick(20, 20, 1)))  # warm
        took = asyncio.run(_measure(data, rounds))
        loaded, most = asyncio.run(_at_half_load(data, rounds, scale.pick(1_000, 200, 5)))
    trip = 1e3 * percentile(took.pings, 50)
    half = f"submit to IN PROGRESS, half load ({most / 2:.0f} jobs/s)"
    return [
        result(f"{name}, p{percent}", 1e3 * percentile(times, percent), "ms", "lower", trip,
               "a bare call of the same client")
        for name, times, percents in (
            ("submit to IN PROGRESS, idle farm", took.submits, (50, 99)),
            (half, loaded, (50, 99)),
            ("submit to access, idle farm", took.accesses, (50, 99)),
            ("close to IDLE with a new key", took.returns, (50,)),
        )
        for percent in percents
    ]  # fmt: skip
