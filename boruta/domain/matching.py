"""The queue and the index: who gets which board (SAFETY, B1, B2, B5; the original, 5.6).

The order is priority, then the place in the queue; a request that nobody can serve now never
stands in another's way. Its board is the one with the fewest caps and groups, among equals one
that has not failed lately, then the lowest UUID.

What a scan over all requests and all workers would find is found here through links between
buckets and shapes (`pools`), and looked for only among what has changed: a bucket with another
first request, a shape that has an idle worker again.

Links of a new bucket or shape are computed in slices (`advance`). Meanwhile `matches` hands out
a prefix of what the scan would hand out, and nothing else: nothing while a shape with an idle
worker is not linked yet (it may be the better board, or the one that a request further ahead
wants), and no request that stands behind the first one of a bucket that is not linked yet. So a
slice can delay a match, but never break priority nor give the second-best board.

Costs: a request or a worker that comes or goes, and a match, O(log n) amortised; a new bucket or
shape a look at each candidate of `capindex`. Where many shapes become idle at once, requests are
walked instead of workers, which costs a look at each bucket that has requests.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final, TypeAlias

from boruta.domain.errors import InternalLogicError
from boruta.domain.links import Links
from boruta.domain.ordered import OrderedKeys
from boruta.domain.pools import Boards, Bucket, Node, Place, Rank
from boruta.domain.types import Capabilities, Groups, Priority, ReqID, WorkerUUID

EMPTY_KEPT: Final = 256  # buckets without a request that keep their links; then the oldest goes
PAIRS_A_TURN: Final = 256  # what one call of `matches` hands out, about 5 ms

# What a node offers; () is lower than every place: it must be looked at first.
_Offer: TypeAlias = Place | tuple[()]


@dataclass(frozen=True, slots=True)
class Pair:
    """The request gets the worker."""

    request_id: ReqID
    worker_uuid: WorkerUUID


@dataclass(slots=True)
class _Request:
    rev: int
    place: Place
    bucket: Bucket
    ready: bool = False  # False while it is offered to a worker


@dataclass(slots=True)
class _Worker:
    caps: Capabilities  # without UUID
    groups: Groups
    shape: Boards
    alone: Boards
    rank: Rank | None = None  # while it is idle


class Matching:
    """Ready requests and idle workers in, pairs out. Knows ids, caps and groups, nothing else."""

    def __init__(self) -> None:
        self._requests: dict[ReqID, _Request] = {}
        self._workers: dict[WorkerUUID, _Worker] = {}
        self._links = Links(self._linked)
        self._queue: OrderedKeys[Place] = OrderedKeys()  # all that are ready
        self._empty: dict[Bucket, None] = {}  # without a request, the oldest first
        self._filled: dict[Bucket, None] = {}  # with a ready request
        self._offers: list[tuple[_Offer, int, Node]] = []  # where a pair may be found
        self._woken: dict[Boards, None] = {}  # boards with an idle worker that may be among them

    # --- requests
    def request_ready(
        self,
        req_id: ReqID,
        rev: int,
        priority: Priority,
        seq: int,
        caps: Capabilities,
        groups: Groups,
    ) -> None:
        """The request may be matched, at the place of (priority, seq); an older rev is ignored."""
        known = self._requests.get(req_id)
        if known is not None:
            if known.rev > rev:
                return
            self.request_gone(req_id)
        bucket = self._links.bucket(caps, groups)
        bucket.size += 1
        self._empty.pop(bucket, None)
        request = self._requests[req_id] = _Request(rev, (priority, seq, req_id), bucket)
        self._enqueue(request)

    def request_gone(self, req_id: ReqID) -> None:
        """The request is not to be matched any more."""
        request = self._requests.pop(req_id, None)
        if request is None:
            return
        if request.ready:
            self._dequeue(request)
        bucket = request.bucket
        bucket.size -= 1
        if not bucket.size:
            self._empty[bucket] = None
            if len(self._empty) > EMPTY_KEPT:
                oldest = next(iter(self._empty))
                del self._empty[oldest]
                self._links.drop_bucket(oldest)

    def refused(self, req_id: ReqID) -> None:
        """The worker did not take it: the request stands at its place again."""
        request = self._requests.get(req_id)
        if request is not None and not request.ready:
            self._enqueue(request)

    def _enqueue(self, request: _Request) -> None:
        bucket, place = request.bucket, request.place
        request.ready = True
        self._queue.add(place)
        first = bucket.queue.first()
        bucket.queue.add(place)
        if first is None:
            self._filled[bucket] = None
        elif first < place:
            return
        bucket.improved()
        self._links.first_changed(bucket, place)
        self._wake(bucket)

    def _dequeue(self, request: _Request) -> None:
        request.ready = False
        self._queue.remove(request.place)
        request.bucket.queue.remove(request.place)
        if not request.bucket.queue:
            del self._filled[request.bucket]

    # --- workers
    def worker_known(self, uuid: WorkerUUID, caps: Capabilities, groups: Groups) -> None:
        """The worker exists, with these caps (with or without its UUID) and groups.

        One that is idle stays idle.
        """
        caps = caps.without_uuid()
        old = self._workers.get(uuid)
        if old is not None and (old.caps, old.groups) == (caps, groups):
            return
        rank = None if old is None else old.rank
        self.worker_forgotten(uuid)
        shape = self._links.shape(caps, groups)
        alone = self._links.alone(uuid, shape)
        shape.workers.add(uuid)
        alone.workers.add(uuid)
        self._workers[uuid] = _Worker(caps, groups, shape, alone)
        if rank is not None:
            self.worker_offered(uuid, recently_failed=rank[1])

    def worker_forgotten(self, uuid: WorkerUUID) -> None:
        """The worker does not exist any more."""
        self.worker_withdrawn(uuid)
        worker = self._workers.pop(uuid, None)
        if worker is None:
            return
        for boards in (worker.shape, worker.alone):
            boards.workers.discard(uuid)
            if not boards.workers:
                self._woken.pop(boards, None)
                self._links.drop_boards(boards)

    def worker_offered(self, uuid: WorkerUUID, *, recently_failed: bool = False) -> None:
        """The worker may be lent. One that is not known is ignored."""
        worker = self._workers.get(uuid)
        if worker is None:
            return
        rank = (len(worker.caps) + 1 + len(worker.groups), recently_failed, uuid)
        if worker.rank == rank:
            return
        self.worker_withdrawn(uuid)
        worker.rank = rank
        for boards in (worker.shape, worker.alone):
            best = boards.idle.first()
            boards.idle.add(rank)
            if best is None:
                self._links.idle_changed(boards)
                self._woken[boards] = None
                boards.offered = None  # what it offered before it had none may not be its best now
            if best is None or rank < best:
                boards.improved()
            self._wake_picky(boards)

    def worker_withdrawn(self, uuid: WorkerUUID) -> None:
        """The worker may not be lent."""
        worker = self._workers.get(uuid)
        if worker is None or worker.rank is None:
            return
        for boards in (worker.shape, worker.alone):
            boards.idle.remove(worker.rank)
            if not boards.idle:
                self._links.idle_changed(boards)
        worker.rank = None

    # --- pairs
    def advance(self, budget: int) -> bool:
        """Computes at most `budget` fits of new buckets and shapes; whether more is to do."""
        return self._links.advance(budget)

    def matches(self, most: int = PAIRS_A_TURN) -> list[Pair]:
        """Up to `most` pairs that can be made now, in the order of the queue.

        Both leave the queue: the request until `refused` or `request_ready`, the worker until
        `worker_offered`. An empty answer says that there is no pair until something changes.
        """
        found: list[Pair] = []
        if self._links.blocked:
            return found
        self._choose_the_walk()
        limit = self._links.first_pending()
        while len(found) < most:
            node = self._first_offer(limit)
            if node is None:
                break
            pair = _pair_of(node)
            found.append(pair)
            self._dequeue(self._requests[pair.request_id])
            self.worker_withdrawn(pair.worker_uuid)
        return found

    def _choose_the_walk(self) -> None:
        """Walks workers, or requests where that is less (B2).

        After each pair every woken shape may have to be looked at again, but of the buckets only
        one.
        """
        woken = self._woken
        if len(woken) ** 2 <= len(self._filled):
            for boards in woken:
                if boards.offered is None:
                    self._wake(boards)
            return
        for boards in woken:
            boards.offered = None
        woken.clear()
        for bucket in self._filled:
            if bucket.offered is None:
                self._wake(bucket)

    def _first_offer(self, limit: Place | None) -> Node | None:
        """The node whose offer is first in the queue, and before `limit`."""
        offers = self._offers
        while offers:
            offer, number, node = offers[0]
            if offer != node.offered:
                heapq.heappop(offers)  # a better one of the same node stands in front, or did
                continue
            actual = _offer_of(node)
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
                return node
        return None

    def _wake(self, node: Node) -> None:
        if node.offered != ():
            node.offered = ()
            heapq.heappush(self._offers, ((), node.number, node))

    def _wake_picky(self, boards: Boards) -> None:
        for bucket in boards.picky:
            if bucket in boards.raised:
                boards.raised.discard(bucket)
                bucket.fresh.append(boards)
            self._wake(bucket)

    def _linked(self, node: Node) -> None:
        """All links of a new bucket or of new boards are known."""
        if isinstance(node, Boards):
            if node.idle:
                self._woken[node] = None
                self._wake_picky(node)
        elif isinstance(node, Bucket) and node.queue:
            self._wake(node)

    # --- questions
    def queue_position(self, req_id: ReqID) -> int:
        """The request's place, from 1, among those that could take one of its boards; else 0.

        With many kinds of such rivals it is its place in the whole queue, which is no lower.
        Costs a rank in the queue of each kind, of at most `links.RIVALS`.
        """
        request = self._requests.get(req_id)
        if request is None:
            return 0
        rivals = self._links.rivals(request.bucket)
        if rivals is None:
            return 1 + self._queue.rank(request.place)
        return 1 + sum(bucket.queue.rank(request.place) for bucket in rivals)

    def servable(self, caps: Capabilities, groups: Groups) -> bool:
        """Whether a known worker could ever serve it."""
        bucket, fitting = self._links.fitting(caps, groups)
        if bucket.refuses is None:
            return bool(fitting)
        return any(bucket.takes(uuid) for boards in fitting for uuid in boards.workers)

    def unservable(self) -> list[ReqID]:
        """The ready requests that no known worker could ever serve; costs a look a bucket."""
        found: list[ReqID] = []
        for bucket in self._filled:
            if not bucket.pending and not self.servable(bucket.caps, bucket.groups):
                found.extend(place[2] for place in bucket.queue)
        return found

    def fitting_workers(self, caps: Capabilities, groups: Groups) -> list[WorkerUUID]:
        """The known workers that could serve it, idle or not, by UUID."""
        bucket, fitting = self._links.fitting(caps, groups)
        return sorted(uuid for boards in fitting for uuid in boards.workers if bucket.takes(uuid))

    def unmet(self, caps: Capabilities, groups: Groups) -> list[str]:
        """What no known worker has of it, as words of the command line; groups too."""
        return self._links.unmet(caps, groups)


def _pair_of(node: Node) -> Pair:
    """The pair that stands behind a node's offer."""
    bucket = node if isinstance(node, Bucket) else node.top()
    assert isinstance(bucket, Bucket)
    boards = bucket.top()
    assert isinstance(boards, Boards)
    place, rank = bucket.queue.first(), boards.best_for(bucket)
    if place is None or rank is None:
        raise InternalLogicError("an offer without a request or a worker stands in the queue")
    return Pair(place[2], rank[2])


def _offer_of(node: Node) -> Place | None:
    """The place of the first request that the node could pair now."""
    if isinstance(node, Bucket):
        if node.pending or not node.queue or node.top() is None:
            return None
        return node.queue.first()
    if not isinstance(node, Boards) or not node.idle:
        return None
    bucket = node.top()
    return bucket.queue.first() if isinstance(bucket, Bucket) else None
