"""The walk along the queue: where the next pair may be found, and what it is.

Only nodes with news are on the walk: a bucket with another first request, boards that have an
idle worker again. Each stands in a heap by the place of the request that it could pair; an entry
is never higher than that place, and is put right when it comes to the top.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from boruta.domain.errors import InternalLogicError
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Boards, Bucket, Node, Place, Rank
from boruta.domain.types import Capabilities, Groups, ReqID, WorkerUUID

LOOKS_A_TURN: Final = 2000  # links looked at in one turn, about 5 ms
PROBES: Final = 32  # tries at the front of the line before all news of a node is looked at

# What a node offers; () is lower than every place: it must be looked at first.
_Offer: TypeAlias = Place | tuple[()]


class Pair(NamedTuple):
    """The request gets the worker."""

    request_id: ReqID
    worker_uuid: WorkerUUID


@dataclass(slots=True)
class Request:
    """A request that waits."""

    rev: int
    place: Place
    bucket: Bucket
    ready: bool = False  # False while it is offered to a worker


@dataclass(slots=True)
class Worker:
    """A worker that exists."""

    caps: Capabilities  # without UUID
    groups: Groups
    shape: Boards
    alone: Boards
    rank: Rank | None = None  # while it is idle


class Walk:
    """The waiting requests, the idle workers, and where they may meet."""

    def __init__(self) -> None:
        self.requests: dict[ReqID, Request] = {}
        self.workers: dict[WorkerUUID, Worker] = {}
        self.queue: OrderedKeys[Place] = OrderedKeys()  # all that are ready
        self.idle: OrderedKeys[Rank] = OrderedKeys()  # all that may be lent
        self.filled: dict[Bucket, None] = {}  # with a ready request
        self.unfinished = False  # the last walk did not look everywhere
        self._offers: list[tuple[_Offer, int, Node]] = []
        self._woken: dict[Boards, None] = {}  # boards on the walk
        self._looks = 0

    # --- news
    def changed(self, bucket: Bucket) -> None:
        """A bucket has another first request, or sees other boards."""
        self._put(bucket)

    def awake(self, boards: Boards) -> None:
        """Boards have an idle worker again, or all their links are known now."""
        self._woken[boards] = None
        boards.offered = None  # what they offered before need not be their best now

    def idle_came(self, boards: Boards) -> None:
        """Boards have one more idle worker; those who refuse some by name look at each."""
        for bucket in boards.picky:
            if bucket in boards.raised:
                boards.raised.discard(bucket)
                bucket.fresh.append(boards)
            self._put(bucket)

    def gone(self, boards: Boards) -> None:
        """Boards are no more."""
        self._woken.pop(boards, None)

    def _put(self, node: Node) -> None:
        if node.offered != ():
            node.offered = ()
            heapq.heappush(self._offers, ((), node.number, node))

    # --- the walk
    def begin(self) -> None:
        """Walks workers, or requests where that is less (B2).

        After each pair every woken shape may have to be looked at again, but of the buckets only
        one.
        """
        self._looks, self.unfinished = 0, False
        woken = self._woken
        if self._workers_are_fewer():
            for boards in woken:
                if boards.offered is None:
                    self._put(boards)
            return
        for boards in woken:
            boards.offered = None
        woken.clear()
        for bucket in self.filled:
            if bucket.offered is None:
                self._put(bucket)

    def _workers_are_fewer(self) -> bool:
        return len(self._woken) ** 2 <= len(self.filled)

    def next_pair(self, limit: Place | None) -> Pair | None:
        """The pair whose request is first in the queue, and before `limit`; nothing is taken."""
        if not self.idle or not self.queue:
            self._rest()
        offers = self._offers
        while offers:
            offer, number, node = offers[0]
            if offer != node.offered:
                heapq.heappop(offers)  # a better one of the same node stands in front, or did
                continue
            if self._looks > LOOKS_A_TURN:
                self.unfinished = True
                return None
            actual = self._offer_of(node)
            if actual is None:
                heapq.heappop(offers)
                node.offered = None
                self._woken.pop(node, None)  # type: ignore[call-overload]
            elif actual != offer:
                node.offered = actual
                heapq.heapreplace(offers, (actual, number, node))
            elif limit is not None and actual >= limit:
                return None
            else:
                return self._pair_of(node)
        return None

    def _rest(self) -> None:
        """Where no worker or no request is left, whatever comes next is news."""
        for _, _, node in self._offers:
            node.offered = None
        self._offers.clear()
        self._woken.clear()

    def _pair_of(self, node: Node) -> Pair:
        """The pair that stands behind a node's offer."""
        bucket = node if isinstance(node, Bucket) else self._first_bucket(node)
        place = None if bucket is None else bucket.queue.first()
        rank = None if bucket is None else self._best_rank(bucket)
        if place is None or rank is None:
            raise InternalLogicError("an offer without a request or a worker stands in the queue")
        return Pair(place[2], rank[2])

    def _offer_of(self, node: Node) -> Place | None:
        """The place of the first request that the node could pair now."""
        self._looks += 1
        if isinstance(node, Bucket):
            ready = not node.pending and node.queue and self._best_rank(node) is not None
            return node.queue.first() if ready else None
        bucket = self._first_bucket(node)
        return None if bucket is None else bucket.queue.first()

    def _best_rank(self, bucket: Bucket) -> Rank | None:
        """The best idle worker for a bucket.

        Where much is new to it, as when many workers became idle at once, one of the best of all
        often fits, and then it is its best too.
        """
        if len(bucket.fresh) > PROBES:
            for rank in islice(self.idle, PROBES):
                worker = self.workers[rank[2]]
                boards = worker.alone if bucket.pinned else worker.shape
                if boards in bucket.links and bucket.takes(rank[2]):
                    return rank
        self._looks += len(bucket.fresh)
        best = bucket.top()
        return best.best_for(bucket) if isinstance(best, Boards) else None

    def _first_bucket(self, boards: Node) -> Bucket | None:
        """The bucket with the first request that fits boards; found in the same way."""
        if not isinstance(boards, Boards) or not boards.idle:
            return None
        if len(boards.fresh) > PROBES:
            for place in islice(self.queue, PROBES):
                bucket = self.requests[place[2]].bucket
                if bucket in boards.links and bucket.refuses is None:
                    return bucket
        self._looks += len(boards.fresh)
        first = boards.top()
        return first if isinstance(first, Bucket) else None
