"""Work in slices: a generator that yields wherever others may have their turn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")
Sliced: TypeAlias = Generator[None, None, T]

ROWS: Final = 4096  # of a list that are looked at in one slice, less than 1 ms
_FEW: Final = 20  # a page this many times smaller than the list is picked, not sorted out
_PARTS: Final = 64  # that a long list is split into, to be sorted one by one
_SAMPLE: Final = 16  # keys looked at for each part, to find where to split


def whole(work: Sliced[T]) -> T:
    """Does all of it at once."""
    try:
        while True:
            next(work)
    except StopIteration as done:
        result: T = done.value
        return result


def chunks(rows: Sequence[T], size: int = 0) -> Iterator[Sequence[T]]:
    """The rows in pieces of `size`, or of ROWS."""
    size = size or ROWS
    if len(rows) <= size:
        return iter((rows,))
    return (rows[first : first + size] for first in range(0, len(rows), size))


def leading(
    rows: Sequence[T], key: Callable[[T], Any], limit: int, *, down: bool = False
) -> Sliced[list[T]]:
    """The first `limit` rows in the order of their keys; equal ones as they come.

    Args:
        rows: all of them.
        key: what they are sorted by.
        limit: how many at most.
        down: the highest key comes first.
    """
    return (_best if len(rows) > limit * _FEW else _sorted)(rows, key, limit, down)


def _best(rows: Sequence[T], key: Callable[[T], Any], limit: int, down: bool) -> Sliced[list[T]]:
    """Whatever is not among the best so far is dropped."""
    best: list[T] = []
    for chunk in chunks(rows):
        if len(best) == limit:
            worst = key(best[-1])
            keyed = zip(map(key, chunk), chunk, strict=True)
            if down:
                chunk = [row for k, row in keyed if k > worst]
            else:
                chunk = [row for k, row in keyed if k < worst]
        if chunk:
            best += chunk
            best.sort(key=key, reverse=down)
            del best[limit:]
        yield
    return best


def _sorted(rows: Sequence[T], key: Callable[[T], Any], limit: int, down: bool) -> Sliced[list[T]]:
    """Rows are dealt into parts by a sample of the keys, and the parts are sorted."""
    if len(rows) <= ROWS:
        return sorted(rows, key=key, reverse=down)[:limit]
    step = max(1, len(rows) // (_PARTS * _SAMPLE))
    sample = sorted(map(key, rows[::step]))
    borders = sorted(set(sample[_SAMPLE::_SAMPLE]))
    parts: list[list[T]] = [[] for _ in range(len(borders) + 1)]
    yield
    for chunk in chunks(rows):
        for k, row in zip(map(key, chunk), chunk, strict=True):
            parts[bisect_right(borders, k)].append(row)
        yield
    found: list[T] = []
    for part in reversed(parts) if down else parts:
        if len(found) >= limit:
            break
        part.sort(key=key, reverse=down)
        found += part
        yield
    del found[limit:]
    return found
