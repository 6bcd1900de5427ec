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
from typing import Final

from boruta.domain import defaults
from boruta.domain.matching import Matching
from boruta.domain.types import Capabilities

SIZES: Final = (1_000, 10_000, 100_000)
KINDS: Final = 10_000  # different caps of the diverse queue
WORKERS: Final = 100
BEST_OF: Final = 5


def run(quick: bool) -> list[dict[str, object]]:
    """New requests a second by length of the queue, uniform and diverse."""
    operations = 2_000 if quick else 20_000
    limit = _best(lambda: _least(operations))
    results = []
    by_name: dict[str, float] = {}
    for what, kinds in (("uniform", 1), ("diverse", KINDS)):
        for size in SIZES:
            if quick and size == SIZES[-1] and kinds > 1:
                continue
            rate = _rate(size, kinds, operations)
            by_name[f"{what} {size}"] = rate
            results.append(
                _result(f"queue {what} {size} new_request", rate, limit, "a heap and a map")
            )
    small = by_name[f"uniform {SIZES[0]}"]
    large = by_name[f"uniform {SIZES[-1]}"]
    results.append(_factor("queue uniform growth", small / large, 1.5))
    last = by_name.get(f"diverse {SIZES[-1]}")
    if last is not None:
        results.append(_factor("queue diverse over uniform", large / last, 3.0))
    return results


def _rate(size: int, kinds: int, operations: int) -> float:
    matching, caps = _filled(size, kinds)
    fresh = iter(range(size + 1, sys.maxsize))
    return _best(lambda: _timed(matching, caps, fresh, operations))


def _filled(size: int, kinds: int) -> tuple[Matching, list[Capabilities]]:
    matching = Matching()
    caps = [_caps(number) for number in range(min(kinds, size))]
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


def _caps(number: int) -> Capabilities:
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


def _best(measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(BEST_OF))


def _result(name: str, value: float, limit: float, what: str) -> dict[str, object]:
    return {
        "name": name,
        "value": round(value),
        "unit": "1/s",
        "better": "higher",
        "limit": round(limit),
        "limit_what": what,
        "ratio": round(value / limit, 4),
    }


def _factor(name: str, value: float, most: float) -> dict[str, object]:
    return {
        "name": name,
        "value": round(value, 2),
        "unit": "x",
        "better": "lower",
        "limit": most,
        "limit_what": "what it may be at most",
        "ratio": round(value / most, 4),
    }
