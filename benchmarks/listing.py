"""Pages out of a long list of waiting requests, and how long the loop is held by them.

The engine runs in this process, with 100 boards that some of the requests fit: those that wait are
explained. Over the wire a client in another process asks a server on the engine's loop. The
limit is the least that a list can cost: a copy of the rows, sorted and cut, with nothing described.

In process it is the processor's time, so that a busy machine blurs no figure; of the longest pages
also with a look at every field, since what nobody looks at is not worked out. Over the wire it is
the clock's, and beside it the processor's of both ends.
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

from benchmarks.engine import ADMIN, Engine, engine
from benchmarks.result import result
from benchmarks.scale import Scale
from benchmarks.turns import Turns
from boruta.domain import defaults
from boruta.domain.interfaces import AsyncRequests
from boruta.domain.listing import RequestFilter
from boruta.domain.types import Capabilities, Page, ReqInfo, SortInfo, SortOrder
from boruta.pairs import new_pair
from boruta.version import VERSION
from transport.client import Address, KeyPair, Link
from transport.remote_requests import RemoteRequests
from transport.server import Server

BOARDS: Final = 100
KINDS: Final = 100  # different caps; a tenth of them fits boards
SMALL, MIDDLE, LARGE = 100, defaults.WIRE_PAGE, defaults.FULL_PAGE
HELD_MS: Final = 10.0
_FIELDS: Final = [field.name for field in fields(ReqInfo)]


class Cost(NamedTuple):
    """Seconds of a page: of the clock, and of the processor."""

    wall: float
    cpu: float


# What and how many -> what it cost, and what it gave if that is known.
Ask: TypeAlias = Callable[[str, int], Awaitable[tuple[Cost, object]]]

_WHAT: Final[dict[str, tuple[RequestFilter | None, SortInfo | None]]] = {
    "by id": (None, None),
    "by priority": (None, SortInfo("priority")),
    "by deadline": (None, SortInfo("deadline", SortOrder.DESCENDING)),
    "filtered": (RequestFilter(priorities=[3, 4], states=["WAITING"]), SortInfo("priority")),
}


def caps_of(number: int) -> Capabilities:
    """What a request of the list asks for."""
    kind = number % KINDS
    if kind % 10:
        return Capabilities(arch="other", kind=str(kind))
    return Capabilities(arch="bench", slot=f"!={kind // 10}")


def run(scale: Scale) -> list[dict[str, Any]]:
    """Milliseconds a page, and the longest turn of the loop."""
    sizes = scale.pick((1_000, 10_000, 30_000, 100_000), (1_000, 3_000, 10_000, 30_000), (20, 40))
    return asyncio.run(_measure(sizes, scale.pick(3, 3, 1)))


async def _measure(sizes: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with engine(BOARDS) as made, _client(made) as over_wire:
        requests = made.front.requests(ADMIN)

        async def in_process(what: str, limit: int) -> tuple[Cost, object]:
            return await _asked(requests, what, limit)

        async def and_read(what: str, limit: int) -> tuple[Cost, object]:
            cost, infos = await _asked(requests, what, limit)
            began = time.process_time()
            for one in infos:
                _looked_at(one)
            return cost._replace(cpu=cost.cpu + time.process_time() - began), infos

        for size in sizes:
            await made.fill(size, caps_of)
            for what in _WHAT if size == sizes[-1] else ("by deadline",):
                turns = []
                for where, ask, limit in (
                    ("in process", in_process, SMALL),
                    ("in process", in_process, MIDDLE),
                    ("in process", in_process, LARGE),
                    ("in process and read", and_read, LARGE),
                    ("over the wire", over_wire, SMALL),
                    ("over the wire", over_wire, MIDDLE),
                ):
                    name = f"page of {limit:,}, {where}, {what} @ {size:,}"
                    cost = await _best(ask, what, limit, rounds)
                    least = 1e3 * min(_least(made, what, limit) for _ in range(3))
                    beside = "rows copied, sorted and cut"
                    if ask is over_wire:
                        found.append(result(name, 1e3 * cost.wall, "ms", "lower", least, beside))
                        name = f"processor time of both ends, {name}"
                    found.append(result(name, 1e3 * cost.cpu, "ms", "lower", least, beside))
                    if ask is not and_read:  # the loop is not the place to read so many
                        turns.append(await _longest_turn(ask, what, limit))
                name = f"longest turn of these, {what} @ {size:,}"
                beside = "what it should be at most"
                found.append(result(name, 1e3 * max(turns), "ms", "lower", HELD_MS, beside))
    return found


async def _best(ask: Ask, what: str, limit: int, rounds: int) -> Cost:
    """The shortest times: noise only ever adds."""
    costs = []
    for _ in range(rounds if limit == LARGE else 4 * rounds):
        cost, kept = await ask(what, limit)
        costs.append(cost)
        del kept
    return Cost(*map(min, zip(*costs, strict=True)))


async def _longest_turn(ask: Ask, what: str, limit: int) -> float:
    """The shortest of the longest turns."""
    turns = []
    for _ in range(3):
        with Turns() as seen:
            _, kept = await ask(what, limit)
            await asyncio.sleep(0)
        turns.append(seen.longest_s)
        del kept  # which takes a while, of whoever does it
    return min(turns)


async def _asked(requests: AsyncRequests, what: str, limit: int) -> tuple[Cost, list[ReqInfo]]:
    chosen, sort = _WHAT[what]
    wall, cpu = time.perf_counter(), time.process_time()
    found, _ = await requests.list_requests(chosen, sort, Page(limit=limit))
    return Cost(time.perf_counter() - wall, time.process_time() - cpu), found


def _looked_at(one: ReqInfo) -> None:
    for name in _FIELDS:
        getattr(one, name)


def _least(made: Engine, what: str, limit: int) -> float:
    chosen, sort = _WHAT[what]
    rows = made.system.directory.store.requests()
    began = time.perf_counter()
    found = list(rows)
    if chosen is not None:
        wanted = set(chosen.priorities)
        found = [row for row in found if row.priority in wanted]
    if sort is not None:
        found.sort(key=attrgetter(sort.item), reverse=sort.order is SortOrder.DESCENDING)
    del found[limit:]
    return time.perf_counter() - began


@asynccontextmanager
async def _client(made: Engine) -> AsyncIterator[Ask]:
    """Seconds of a list over the wire: of a client in a process of its own, and this loop."""
    (public, secret), (ours, our_secret) = new_pair(), new_pair()
    server = Server(
        made.front, bind="tcp://127.0.0.1:0", public_key=public, secret_key=secret,
        admit=lambda key: ADMIN if key == ours else None, insecure=False, software=VERSION,
        board_networks=(), loop=asyncio.get_running_loop(),
    )  # fmt: skip
    server.start()
    words = (server.url, public, ours, our_secret)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.listing", *words, stdin=PIPE, stdout=PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    write, read = child.stdin, child.stdout

    async def ask(what: str, limit: int) -> tuple[Cost, object]:
        before = time.process_time()
        write.write(f"{limit} {what}\n".encode())
        wall, theirs = map(float, (await read.readline()).split())
        return Cost(wall, theirs + time.process_time() - before), None

    try:
        yield ask
    finally:
        write.close()
        await child.wait()
        await server.stop()


async def _ask_for(url: str, server_key: str, public: str, secret: str) -> None:
    link = Link([Address(url, server_key)], KeyPair(public, secret), role="user", software=VERSION)
    await link.open(10.0)
    requests = RemoteRequests(link)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        limit, _, what = line.strip().partition(" ")
        cost, _ = await _asked(requests, what, int(limit))
        print(*cost, flush=True)
    await link.close()


if __name__ == "__main__":
    asyncio.run(_ask_for(*sys.argv[1:]))
