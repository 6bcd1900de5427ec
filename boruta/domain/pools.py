"""Who fits whom, kept so that the best of all that fit is found without a look at all of them.

Requests that ask for the same are a `Bucket`, boards that offer the same are a `Boards`; a link
says that they fit. Both look at each other in the same lazy way. A node keeps a heap of those it
is linked to, by what was their best key when it last looked. A best key that has got worse since
is found when it comes to the top. A best key that has got better must be told (`improved`), but
only to those who have looked since the last time: the others look anyway before they choose.
So a change costs what was looked at before, never all links.
"""

from __future__ import annotations

import heapq
import itertools
from typing import ClassVar, TypeAlias

from boruta.domain.ordered import OneKey, OrderedKeys
from boruta.domain.requirements import Requirement, Requirements
from boruta.domain.types import Capabilities, Groups, ReqID, WorkerUUID

Place: TypeAlias = tuple[int, int, ReqID]  # priority, queue_seq, id: lower comes first
Rank: TypeAlias = tuple[
    int, bool, WorkerUUID
]  # caps + groups, failed lately, uuid: lower is better
Key: TypeAlias = Place | Rank


class Node:
    """One end of links."""

    __slots__ = ("alive", "fresh", "heap", "links", "number", "offered", "pending", "raised")
    _numbers: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.alive = True
        self.pending = False  # links to others are still being computed
        self.offered: Key | tuple[()] | None = None  # its entry among the offers of `Matching`
        self.links: set[Node] = set()
        # Each linked node is in `fresh` of this one (it has news), or has this one in `raised`.
        self.fresh: list[Node] = []
        self.raised: set[Node] = set()
        self.heap: list[tuple[Key, int, Node]] = []

    def best_for(self, other: Node) -> Key | None:
        """The key of the best that this node has for the other, if it has something now."""
        raise NotImplementedError

    def improved(self) -> None:
        """The best key is a lower one, or there is one again: who has looked must look again."""
        for other in self.raised:
            other.fresh.append(self)
        self.raised.clear()

    def top(self) -> Node | None:
        """The linked node with the lowest key of all, if any has something now."""
        heap = self.heap
        for other in self.fresh:
            if other.alive:
                other.raised.add(self)
                key = other.best_for(self)
                if key is not None:
                    heapq.heappush(heap, (key, other.number, other))
        self.fresh.clear()
        if len(heap) > 2 * len(self.links) + 16:
            heap = self.heap = self._without_doubles()
        while heap:
            key, number, other = heap[0]
            actual = other.best_for(self) if other.alive else None
            if actual is None:
                heapq.heappop(heap)
            elif actual == key:
                return other
            else:
                heapq.heapreplace(heap, (actual, number, other))
        return None

    def _without_doubles(self) -> list[tuple[Key, int, Node]]:
        heap = []
        for other in {entry[2] for entry in self.heap}:
            key = other.best_for(self) if other.alive else None
            if key is not None:
                heap.append((key, other.number, other))
        heapq.heapify(heap)
        return heap

    def forget(self, other: Node) -> None:
        """The other one dies."""
        self.links.discard(other)
        self.raised.discard(other)

    def die(self) -> None:
        """Leaves all links."""
        self.alive = False
        for other in self.links:
            other.forget(self)
        self.links.clear()
        self.raised.clear()
        self.fresh.clear()
        self.heap.clear()


class Bucket(Node):
    """The waiting requests with one (caps, groups).

    `pinned` says that boards are named. `refuses` is set if boards are refused by UUID
    (``UUID!=x``): such a bucket looks at workers one by one, and boards do not choose it, it
    chooses them. `nobody` says that no board can ever fit.
    """

    __slots__ = (
        "caps",
        "group_set",
        "groups",
        "nobody",
        "pinned",
        "queue",
        "refuses",
        "rivals",
        "size",
        "unmet",
        "wanted",
    )

    def __init__(
        self,
        caps: Capabilities,
        groups: Groups,
        wanted: Requirements,
        *,
        pinned: bool = False,
        refuses: Requirement | None = None,
        nobody: bool = False,
    ) -> None:
        super().__init__()
        self.caps = caps
        self.groups = groups
        self.group_set = frozenset(groups)
        self.wanted = wanted
        self.pinned = pinned
        self.refuses = refuses
        self.nobody = nobody
        self.queue: OrderedKeys[Place] = OrderedKeys()
        self.size = 0  # requests, also those that are offered to a board just now
        self.rivals: tuple[int, list[Bucket] | None] = (-1, None)  # see Links.rivals
        self.unmet: tuple[int, list[str]] = (-1, [])  # see Links.unmet

    def best_for(self, other: Node) -> Place | None:
        """The first request."""
        return self.queue.first()

    def fits(self, boards: Boards) -> bool:
        """Whether the boards have what is asked for."""
        if self.nobody:
            return False
        if self.group_set and self.group_set.isdisjoint(boards.group_set):
            return False
        return self.wanted.fits(boards.caps)

    def takes(self, uuid: WorkerUUID) -> bool:
        """Whether a worker of fitting boards is not refused by its UUID."""
        return self.refuses is None or self.refuses.fits(uuid)


class Boards(Node):
    """The workers of one shape: the same caps but for the UUID, and the same groups.

    Each worker also stands alone in boards that have its UUID, for the requests that name it.
    """

    __slots__ = ("caps", "group_set", "groups", "idle", "picky", "shape", "workers")

    def __init__(self, caps: Capabilities, groups: Groups, shape: Boards | None = None) -> None:
        super().__init__()
        self.caps = caps
        self.groups = groups
        self.shape = shape or self  # of a worker that stands alone: its shape
        self.group_set = frozenset(groups)
        self.workers: set[WorkerUUID] = set()
        self.idle: OrderedKeys[Rank] | OneKey[Rank] = OrderedKeys() if shape is None else OneKey()
        self.picky: set[Bucket] = set()  # linked buckets that refuse workers by UUID

    def best_for(self, other: Node) -> Rank | None:
        """The best idle worker that the bucket does not refuse."""
        refuses = other.refuses if isinstance(other, Bucket) else None
        if refuses is None:
            return self.idle.first()
        return next((rank for rank in self.idle if refuses.fits(rank[2])), None)

    def offers(self, part: Requirement) -> bool:
        """Whether the boards meet one requirement."""
        return part.fits(self.caps.get(part.key))

    def forget(self, other: Node) -> None:
        """The other one dies."""
        super().forget(other)
        self.picky.discard(other)


def link(bucket: Bucket, boards: Boards) -> None:
    """They fit."""
    bucket.links.add(boards)
    boards.links.add(bucket)
    bucket.fresh.append(boards)
    if bucket.refuses is None:
        boards.fresh.append(bucket)
    else:
        boards.picky.add(bucket)
