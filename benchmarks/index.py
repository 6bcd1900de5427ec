"""The bare index: new requests a second while a long queue waits for boards that nobody has.

100 idle workers fit nothing of it. One operation is a request that becomes ready, with the slice
of index work and the look for a pair that follow it; then it leaves, so that the queue keeps its
length. The limit is the least that any queue must do: a key put into a heap, a value into a map.
Seconds are those of the processor, so that a busy machine does not blur the figures.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterator
from time import process_time
from typing import Any, Final

from benchmarks.result import result
from benchmarks.scale import Scale
from boruta.domain import defaults
from boruta.domain.matching import Matching
from boruta.domain.types import Capabilities

SIZES: Final = (1_000, 10_000, 30_000, 100_000)
QUICK_SIZES: Final = (1_000, 3_000, 10_000, 30_000)
TINY_SIZES: Final = (10, 20, 40, 80)
KINDS: Final = 10_000  # different caps of the diverse queue
WORKERS: Final = 100
BEST_OF: Final = 3


def run(scale: Scale) -> list[dict[str, Any]]:
    """Operations a second by length of the queue, uniform and diverse."""
    operations = scale.pick(10_000, 2_000, 50)
    best_of = scale.pick(BEST_OF, 2, 1)
    limit = _best(best_of, lambda: _least(operations))
    return [
        result(
            f"index, {what} queue @ {size:,}",
            _rate(size, kinds, operations, best_of),
            "1/s",
            "higher",
            limit,
            "a heap and a map",
        )
        for what, kinds in (("uniform", 1), ("diverse", KINDS))
        for size in scale.pick(SIZES, QUICK_SIZES, TINY_SIZES)
    ]


def _rate(size: int, kinds: int, operations: int, best_of: int) -> float:
    matching, caps = _filled(size, kinds)
    fresh = iter(range(size + 1, sys.maxsize))
    return _best(best_of, lambda: _timed(matching, caps, fresh, operations))


def _filled(size: int, kinds: int) -> tuple[Matching, list[Capabilities]]:
    matching = Matching()
    caps = [caps_of_kind(number) for number in range(min(kinds, size))]
    for number in range(WORKERS):
        uuid = f"w{number:05}"
        matching.worker_known(uuid, Capabilities(arch="arm64", slot=str(number % 10)), ("lab",))
        matching.worker_offered(uuid)
    for number in range(1, size + 1):
        matching.request_ready(number, 1, 1 + number % 16, number, caps[number % len(caps)], ())
    while matching.advance(defaults.INDEX_SLICE):
        pass
    assert not matching.matches()
    return matching, caps


def caps_of_kind(number: int) -> Capabilities:
    """Equal, any of, range, at least, negated: none of them on any worker."""
    match number % 5:
        case 0:
            return Capabilities(board=f"b{number}")
        case 1:
            return Capabilities(board=f"b{number}|c{number}", arch="arm64")
        case 2:
            return Capabilities(volt=f"{number}..{number + 1}", arch="arm64")
        case 3:
            return Capabilities(ram=f">={number}")
        case _:
            return Capabilities(arch=f"!=x{number}", slot="none")


def _timed(
    matching: Matching, caps: list[Capabilities], fresh: Iterator[int], operations: int
) -> float:
    kinds = len(caps)
    # As they come from the wire: maps of their own, whose hash nobody knows yet.
    asked = [Capabilities(dict(caps[number % kinds])) for number in range(operations)]
    start = process_time()
    for wanted in asked:
        number = next(fresh)
        matching.request_ready(number, 1, 8, number, wanted, ())
        matching.advance(defaults.INDEX_SLICE)
        matching.matches()
        matching.request_gone(number)
    return operations / (process_time() - start)


def _least(operations: int) -> float:
    heap: list[tuple[int, int, int]] = []
    known: dict[int, tuple[int, int, int]] = {}
    start = process_time()
    for number in range(operations):
        place = (8, number, number)
        heapq.heappush(heap, place)
        known[number] = place
    return operations / (process_time() - start)


def _best(best_of: int, measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(best_of))
