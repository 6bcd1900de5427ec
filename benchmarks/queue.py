"""New requests a second while a long queue waits for boards that nobody has.

100 idle workers fit nothing of it. `new_request` goes through the engine's own api: the checks,
the store, the actor, the matcher. Its cost is all the processor time that it causes, until the
loop is idle again; so a busy machine blurs no figure. Beside it stands the bare index, the part of
the work that could grow with the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import process_time
from typing import Any, Final

from benchmarks import index
from benchmarks.engine import A_CALLER_HAS, Engine, engine
from benchmarks.index import KINDS, WORKERS, caps_of_kind
from benchmarks.result import result
from benchmarks.scale import Scale
from boruta.domain.types import Capabilities

# What the task sets for the largest queue: over the smallest one, and diverse over uniform.
GROWTH_AT_MOST: Final = 1.5
DIVERSE_AT_MOST: Final = 3.0


def run(scale: Scale) -> list[dict[str, Any]]:
    """Requests a second by length of the queue, uniform and diverse; then of the bare index."""
    bare = index.run(scale)
    limits = {one["name"].removeprefix("index, "): one["value"] for one in bare}
    sizes = scale.pick(index.SIZES, index.QUICK_SIZES, index.TINY_SIZES)
    found = []
    rates: dict[str, list[float]] = {}
    for what, kinds in (("uniform", 1), ("diverse", KINDS)):
        rates[what] = asyncio.run(_rates(scale, sizes, kinds))
        for size, rate in zip(sizes, rates[what], strict=True):
            name = f"{what} queue @ {size:,}"
            made = f"new_request, {name}"
            found.append(result(made, rate, "1/s", "higher", limits[name], "the bare index"))
    uniform, diverse = rates["uniform"], rates["diverse"]
    found.append(_factor("new_request, growth over the sizes", uniform, -1, GROWTH_AT_MOST))
    found.append(
        _factor("new_request, diverse over uniform", [uniform[-1], diverse[-1]], 1, DIVERSE_AT_MOST)
    )
    return found + bare


async def _rates(scale: Scale, sizes: tuple[int, ...], kinds: int) -> list[float]:
    operations, best_of = scale.pick(1_000, 500, 10), scale.pick(5, 3, 1)
    known = [caps_of_kind(number) for number in range(min(kinds, sizes[-1]))]

    def caps(number: int) -> Capabilities:
        # As they come from the wire: a map of its own, whose hash nobody knows yet.
        return Capabilities(dict(known[number % len(known)]))

    rates = []
    async with engine(WORKERS) as made:
        for size in sizes:
            await made.fill(size, caps)
            rates.append(max([await _rate(made, operations, caps) for _ in range(best_of)]))
    return rates


async def _rate(made: Engine, operations: int, caps: Callable[[int], Capabilities]) -> float:
    """Requests a second of the processor; they leave again, so that the queue keeps its length."""
    api = made.api(len(made.queued) + A_CALLER_HAS)
    wanted = [caps(number) for number in range(operations)]
    began = process_time()
    queued = [await api.new_request(one, 8) for one in wanted]
    await made.settled()
    took = process_time() - began
    for req_id in queued:
        await api.close_request(req_id)
    await made.settled()
    return operations / took


def _factor(name: str, rates: list[float], last: int, most: float) -> dict[str, Any]:
    return result(name, rates[0] / rates[last], "x", "lower", most, "what it may be at most")
