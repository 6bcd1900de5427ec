"""A sorted set of keys that knows the rank of each: the queue of a bucket, the idle of a shape."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, Generic, Protocol, Self, TypeVar


class Sortable(Protocol):
    """What can be put in order."""

    def __lt__(self, other: Self, /) -> bool: ...


K = TypeVar("K", bound=Sortable)

_BLOCK: Final = 1000  # a longer block is cut in two; adding moves half a block at most


class OrderedKeys(Generic[K]):
    """Keys in order, in blocks.

    Adding and removing cost O(log n + block), the first key O(1), a rank O(log n); the first rank
    after a change O(n / block).
    """

    __slots__ = ("_before", "_blocks", "_lasts", "_shared", "_size")

    def __init__(self) -> None:
        self._blocks: list[list[K]] = []
        self._shared: set[int] = set()  # blocks that snapshots have too: copied before a change
        self._lasts: list[K] = []
        self._size = 0
        # How many keys stand before each block; None if that has changed since it was counted.
        self._before: list[int] | None = None

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        for block in self._blocks:
            yield from block

    def keys(self) -> list[K]:
        """A copy of all of them, in order."""
        found: list[K] = []
        for block in self._blocks:
            found += block
        return found

    def snapshot(self) -> OrderedKeys[K]:
        """The keys as they are now, whatever comes or goes; costs O(n / block)."""
        twin: OrderedKeys[K] = OrderedKeys()
        twin._blocks, twin._lasts, twin._size = [*self._blocks], [*self._lasts], self._size
        self._shared = set(map(id, self._blocks))
        twin._shared = self._shared.copy()
        return twin

    def _own(self, at: int) -> list[K]:
        """The block there, which nobody else has."""
        block = self._blocks[at]
        if id(block) in self._shared:
            self._shared.discard(id(block))
            block = self._blocks[at] = [*block]
        return block

    def first(self) -> K | None:
        """The lowest key, if there is one."""
        return self._blocks[0][0] if self._blocks else None

    def add(self, key: K) -> None:
        """Puts a key in that is not there yet."""
        self._size += 1
        self._before = None
        blocks, lasts = self._blocks, self._lasts
        if not blocks:
            blocks.append([key])
            lasts.append(key)
            return
        at = bisect_left(lasts, key)
        if at == len(lasts):
            at -= 1
            block = self._own(at) if self._shared else blocks[at]
            block.append(key)
            lasts[at] = key
        else:
            block = self._own(at) if self._shared else blocks[at]
            insort(block, key)
        if len(block) > _BLOCK:
            half = len(block) // 2
            blocks.insert(at + 1, block[half:])
            del block[half:]
            lasts.insert(at, block[-1])

    def remove(self, key: K) -> None:
        """Takes a key out.

        Raises:
            KeyError: it is not there.
        """
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            raise KeyError(key)
        block = self._blocks[at]
        place = bisect_left(block, key)
        if block[place] != key:
            raise KeyError(key)
        if self._shared:
            block = self._own(at)
        del block[place]
        self._size -= 1
        self._before = None
        if block:
            self._lasts[at] = block[-1]
        else:
            del self._blocks[at], self._lasts[at]

    def rank(self, key: K) -> int:
        """How many keys are lower."""
        before = self._before
        if before is None:
            before = self._before = [0, *accumulate(map(len, self._blocks))]
        at = bisect_left(self._lasts, key)
        return before[at] + (bisect_left(self._blocks[at], key) if at < len(self._blocks) else 0)


class OneKey(Generic[K]):
    """At most one key, with what `OrderedKeys` has of it: the idle of a worker by itself."""

    __slots__ = ("_key",)

    def __init__(self) -> None:
        self._key: K | None = None

    def __len__(self) -> int:
        return self._key is not None

    def __iter__(self) -> Iterator[K]:
        return iter(() if self._key is None else (self._key,))

    def first(self) -> K | None:
        """The key, if there is one."""
        return self._key

    def add(self, key: K) -> None:
        """Puts a key in, where there is none yet."""
        self._key = key

    def remove(self, key: K) -> None:
        """Takes the key out.

        Raises:
            KeyError: it is not there.
        """
        if self._key != key:
            raise KeyError(key)
        self._key = None
