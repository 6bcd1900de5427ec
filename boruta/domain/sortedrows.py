"""Rows kept in the order of a key, and the merge of several such lists."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, Generic, TypeAlias, TypeVar

from boruta.domain.slices import Sliced, leading

R = TypeVar("R")
Key: TypeAlias = Callable[[Any], Any]

_BLOCK: Final = 512  # a longer block is cut in two
_MERGED: Final = 1024  # rows that one slice of a merge sorts at most, less than 1 ms
_RUNS: Final = 64  # more of them are sorted together, not merged


class SortedRows(Generic[R]):
    """Rows by a key that no two of them share, in blocks.

    Adding and removing cost O(log n + block); a rank O(log n), and O(n / block) after a change.

    Args:
        key: of a row. It should be a C function, for it is called at each step of each bisection.
        rows: in the order of their keys.
    """

    __slots__ = ("_before", "_blocks", "_key", "_lasts", "_size")

    def __init__(self, key: Key, rows: Sequence[R] = ()) -> None:
        self._key = key
        self._blocks = [[*rows[at : at + _BLOCK]] for at in range(0, len(rows), _BLOCK)]
        self._lasts = [key(block[-1]) for block in self._blocks]
        self._size = len(rows)
        # How many rows stand before each block; None if that has changed since it was counted.
        self._before: list[int] | None = None

    def __len__(self) -> int:
        return self._size

    def add(self, row: R) -> None:
        """Puts a row in that is not there yet."""
        self._size += 1
        self._before = None
        blocks, lasts, mark = self._blocks, self._lasts, self._key(row)
        if not blocks:
            blocks.append([row])
            lasts.append(mark)
            return
        at = bisect_left(lasts, mark)
        if at == len(lasts):
            at -= 1
            blocks[at].append(row)
            lasts[at] = mark
        else:
            insort(blocks[at], row, key=self._key)
        block = blocks[at]
        if len(block) > _BLOCK:
            half = len(block) // 2
            blocks.insert(at + 1, block[half:])
            del block[half:]
            lasts.insert(at, self._key(block[-1]))

    def remove(self, row: R) -> None:
        """Takes out the row with this one's key.

        Raises:
            KeyError: it is not there.
        """
        at, place = self._find(row)
        block = self._blocks[at]
        del block[place]
        self._size -= 1
        self._before = None
        if block:
            self._lasts[at] = self._key(block[-1])
        else:
            del self._blocks[at], self._lasts[at]

    def replace(self, row: R) -> None:
        """Puts the row in the place of the one with the same key.

        Raises:
            KeyError: there is none.
        """
        at, place = self._find(row)
        self._blocks[at][place] = row

    def _find(self, row: R) -> tuple[int, int]:
        mark = self._key(row)
        at = bisect_left(self._lasts, mark)
        if at < len(self._lasts):
            block = self._blocks[at]
            place = bisect_left(block, mark, key=self._key)
            if self._key(block[place]) == mark:
                return at, place
        raise KeyError(mark)

    def rank(self, mark: Any, *, past: bool = False) -> int:
        """How many rows have lower keys; with `past` also the one that has this key."""
        before, at = self._counted(), bisect_left(self._lasts, mark)
        if at == len(self._blocks):
            return self._size
        find = bisect_right if past else bisect_left
        return before[at] + find(self._blocks[at], mark, key=self._key)

    def rows(self, first: int, last: int) -> list[R]:
        """A copy of the rows of these ranks, `last` not among them."""
        before = self._counted()
        at = max(0, bisect_right(before, first) - 1)
        found: list[R] = []
        while at < len(self._blocks) and before[at] < last:
            start = before[at]
            found += self._blocks[at][max(0, first - start) : last - start]
            at += 1
        return found

    def _counted(self) -> list[int]:
        if self._before is None:
            self._before = [0, *accumulate(map(len, self._blocks))]
        return self._before


def merged(runs: Sequence[list[R]], key: Key, limit: int, *, down: bool = False) -> Sliced[list[R]]:
    """The first `limit` rows of several ascending lists; with `down` the last, the highest first.

    Each slice takes up to so many rows of each list, no further than the lowest key that ends such
    a piece, and sorts what it took: no row that is left out comes before one of these.
    """
    runs = [run for run in runs if run]
    if len(runs) > _RUNS:
        everything = [row for run in runs for row in run]
        yield
        return (yield from leading(everything, key, limit, down=down))
    found: list[R] = []
    take = _take_down if down else _take_up
    places = [len(run) if down else 0 for run in runs]
    step = max(4, min(_MERGED, 2 * limit) // max(1, len(runs)))
    while runs and len(found) < limit:
        part = take(runs, places, key, step)
        if len(runs) > 1:
            part.sort(key=key, reverse=down)
        elif down:
            part.reverse()
        found += part
        ends = [0 if down else len(run) for run in runs]
        if any(place == end for place, end in zip(places, ends, strict=True)):
            left = [at for at, place in enumerate(places) if place != ends[at]]
            runs, places = [runs[at] for at in left], [places[at] for at in left]
        yield
    del found[limit:]
    return found


def _take_up(runs: Sequence[list[R]], places: list[int], key: Key, step: int) -> list[R]:
    """Up to `step` rows of each run from its place on, none above a row that is left."""
    pairs = list(zip(runs, places, strict=True))
    ends = [key(run[at + step - 1]) for run, at in pairs if at + step <= len(run)]
    part: list[R] = []
    for number, (run, at) in enumerate(pairs):
        to = min(at + step, len(run))
        if ends:
            to = bisect_right(run, min(ends), at, to, key=key)
        part += run[at:to]
        places[number] = to
    return part


def _take_down(runs: Sequence[list[R]], places: list[int], key: Key, step: int) -> list[R]:
    """The mirror of `_take_up`: places are counted from below, rows are taken from above."""
    pairs = list(zip(runs, places, strict=True))
    ends = [key(run[at - step]) for run, at in pairs if at >= step]
    part: list[R] = []
    for number, (run, at) in enumerate(pairs):
        to = max(0, at - step)
        if ends:
            to = bisect_left(run, max(ends), to, at, key=key)
        part += run[to:at]
        places[number] = to
    return part
